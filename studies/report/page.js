"use strict";
(async () => {
  const byId = (id) => document.getElementById(id);
  const trouble = (text) => { const p = byId("trouble"); p.hidden = false; p.textContent = text; };
  const unpack = async (id) => {
    const bytes = Uint8Array.from(atob(byId(id).textContent), (one) => one.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };
  if (!("DecompressionStream" in window)) {
    trouble("This browser is too old to unpack the pictures; one from 2023 or later shows them.");
    return;
  }
  const data = JSON.parse(await unpack("payload"));
  const make = (tag, text, parent) => {
    const one = document.createElement(tag);
    if (text !== undefined) one.textContent = text;
    if (parent) parent.append(one);
    return one;
  };
  const save = (name, text, kind) => {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([text], { type: kind }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  // Tables: read from their CSV when they are opened.
  const parse = (text) => {
    const rows = [[]];
    let cell = "", quoted = false;
    const end = () => { rows[rows.length - 1].push(cell); cell = ""; };
    for (let i = 0; i < text.length; i++) {
      const c = text[i];
      if (quoted) {
        if (c === '"' && text[i + 1] === '"') { cell += c; i++; }
        else if (c === '"') quoted = false;
        else cell += c;
      } else if (c === '"') quoted = true;
      else if (c === ",") end();
      else if (c === "\n") { end(); if (i + 1 < text.length) rows.push([]); }
      else cell += c;
    }
    return rows;
  };
  const shown = (value) => /^-?\d+\.\d{5,}(e-?\d+)?$/.test(value) ? String(Number(Number(value).toPrecision(4))) : value;
  const fill = (details, most) => {
    const box = details.querySelector(".cells");
    const [head, ...rows] = parse(data.tables[details.dataset.table] || "");
    box.replaceChildren();
    if (!rows.length) { make("p", "The table has no rows.", box); return; }
    const table = make("table", undefined, box);
    const top = make("tr", undefined, table);
    for (const name of head) make("th", name.replaceAll("_", " "), top);
    const key = head.indexOf("key");
    for (const row of rows.slice(0, most)) {
      const line = make("tr", undefined, table);
      for (const cell of row) make("td", shown(cell), line).title = cell;
      if (key >= 0 && data.recipes[row[key]]) {
        line.className = "click";
        line.addEventListener("click", () => pick(details, [row[key]]));
      }
    }
    if (rows.length > most) {
      const more = make("button", `Show all ${rows.length.toLocaleString("en")} rows`, box);
      more.type = "button";
      more.addEventListener("click", () => fill(details, Infinity));
    }
  };
  for (const details of document.querySelectorAll("details.table")) {
    if (details.open) fill(details, 200);
    details.addEventListener("toggle", () => {
      if (details.open && !details.querySelector("table")) fill(details, 200);
    });
  }
  for (const button of document.querySelectorAll("button[data-csv]")) {
    button.addEventListener("click", () =>
      save(`${button.dataset.csv}.csv`, "\ufeff" + data.tables[button.dataset.csv], "text/csv"));
  }
  byId("save-design").addEventListener("click", () =>
    save("study.yaml", byId("save-design").previousElementSibling.textContent, "text/yaml"));

  // What was clicked: the merge and its recipe.
  const pick = (near, keys) => {
    const section = near.closest("section");
    let box = section.querySelector(".picked");
    if (!box) { box = make("div"); box.className = "picked"; near.before(box); }
    box.hidden = false;
    box.replaceChildren();
    const known = keys.filter((key) => data.labels[key]);
    if (!known.length) { box.hidden = true; return; }
    for (const key of known.slice(0, 40)) {
      const one = make("details", undefined, box);
      one.open = known.length === 1;
      make("summary", `${data.labels[key]} (${key})`, one);
      make("pre", data.recipes[key] || "The recipe is not known.", one);
    }
  };

  // Pictures: made for light paper; the colours that differ are swapped for dark.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let printing = false;
  const figure = (text) => {
    if (dark.matches && !printing) for (const [from, to] of Object.entries(data.dark)) text = text.replaceAll(from, to);
    return JSON.parse(text);
  };
  const draw = async (box) => {
    const div = box.firstElementChild;
    const selects = [...box.closest("section").querySelectorAll(".choices select")];
    const text = data.pictures[box.dataset.name][selects.map((one) => one.value).join("\n")];
    const made = figure(text);
    div.style.height = `${made.layout.height}px`;
    div.style.minWidth = `${made.layout.meta?.min_width || 0}px`;
    const config = { ...data.config, toImageButtonOptions: { format: "svg", filename: box.dataset.name } };
    await Plotly.react(div, made.data, made.layout, config);
    if (!box.dataset.drawn) {
      div.on("plotly_click", (event) => {
        const custom = event.points[0].customdata;
        if (custom) pick(box, String(custom[0]).split(" "));
      });
    }
    box.dataset.drawn = "yes";
  };
  const script = make("script");
  script.textContent = await unpack("plotly");
  document.head.append(script);
  if (!window.Plotly) { trouble("The pictures' program did not start."); return; }
  const pictures = [...document.querySelectorAll(".picture")];
  for (const div of pictures) {
    for (const one of div.closest("section").querySelectorAll(".choices select")) {
      one.addEventListener("change", () => draw(div));
    }
    try { await draw(div); } catch (error) { trouble(`A picture could not be drawn: ${error.message}`); }
    await new Promise((next) => setTimeout(next));
  }
  const again = () => pictures.forEach((div) => draw(div));
  dark.addEventListener("change", again);
  addEventListener("beforeprint", () => { printing = true; again(); });
  addEventListener("afterprint", () => { printing = false; again(); });
  document.documentElement.dataset.ready = "yes";
})();
