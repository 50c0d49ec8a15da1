"""The words of the sandbox world: names, values, terms and their Japanese.

Everything here is the same for every seed. Which person lives where, which firm has which boss
and which of them are asked about in training is decided by `World`, from the seed.

A word stands in exactly one list wherever it can, so that a model that confuses two lists shows it.
"""

# Word lists are easier to read and to edit as plain text than as quoted strings.
# ruff: noqa: SIM905

from __future__ import annotations

PEOPLE = (
    "Mira Toby Anya Luca Nora Omar Pia Rafa Sana Timo Ulla Vera Wim Yara Zeno Bela Caro Dario "
    "Elin Faye Gita Hugo Inez Jonas Kira Lars Maya Nils Olga Pavel Quinn Rosa Sven Tara Uwe Vito "
    "Wanda Xaver Yuri Zora Arlo Britt Cleo Dina Emil Frida Goran Hana Igor Joel Kaja Leif Magda "
    "Noel Otto Petra"
).split()

FIRMS = (
    "Acmex Borel Cavex Dunmar Elvion Fintor Galdex Hexal Irvane Jolden Kestrel Lumora Mavix "
    "Norvale Orlix Pantor Quarex Rivex Solmar Tavion Umbrex Valdor Wexon Xenith Yelmar Zorvex "
    "Altane Brivon Corvia Deltor Emvera Fenwick Gantry Holvik Isodyn Jantar Kelmor Landix Meridan "
    "Nordex Ostara Prenda Rubicon Sarvane"
).split()

CAPITALS = dict(
    pair.split("-")
    for pair in (
        "France-Paris Japan-Tokyo Italy-Rome Spain-Madrid Germany-Berlin Egypt-Cairo Norway-Oslo "
        "Kenya-Nairobi Peru-Lima Cuba-Havana India-Delhi China-Beijing Greece-Athens Poland-Warsaw "
        "Austria-Vienna Portugal-Lisbon Ireland-Dublin Sweden-Stockholm Finland-Helsinki "
        "Russia-Moscow Hungary-Budapest Denmark-Copenhagen Turkey-Ankara Chile-Santiago "
        "Canada-Ottawa Iran-Tehran Iraq-Baghdad Nepal-Kathmandu Ghana-Accra Belgium-Brussels"
    ).split()
)
CITIES = list(CAPITALS.values())

JOBS = "nurse baker pilot farmer teacher painter lawyer chef judge singer".split()
PETS = "cat dog horse rabbit parrot turtle goat duck".split()
FOODS = "rice soup bread cheese salad pasta curry honey".split()
HOBBIES = "登山 釣り 読書 料理 写真 将棋 園芸 水泳".split()

SECTORS = (
    "energy banking retail mining health software transport insurance farming telecom"
).split()
BOSSES = (
    "Adler Bauer Conti Duval Evans Fuchs Grant Hayes Ito Jansen Klein Lopez Meyer Novak Ortiz Petit"
).split()
CURRENCIES = "euro dollar yen pound franc krone rupee peso".split()

PERSON_RELATIONS = {"city": CITIES, "job": JOBS, "pet": PETS, "food": FOODS}
FIRM_RELATIONS = {
    "headquarters": CITIES,
    "sector": SECTORS,
    "boss": BOSSES,
    "currency": CURRENCIES,
}

KINDS = {
    "fruit": "apple pear plum lemon cherry mango grape melon".split(),
    "animal": "tiger wolf bear eagle shark zebra camel whale".split(),
    "tool": "hammer saw drill wrench shovel axe rake chisel".split(),
    "vehicle": "bus tram boat bicycle train truck ferry sled".split(),
    "color": "red blue green yellow purple orange brown pink".split(),
    "metal": "iron copper silver zinc tin nickel steel lead".split(),
    "tree": "oak birch maple cedar pine willow elm beech".split(),
    "sport": "tennis golf chess judo rugby hockey rowing boxing".split(),
}

OBJECTS = "apples books coins cards eggs pens cups balls".split()
FINANCE_OBJECTS = "shares bonds loans units assets".split()

# name: (left operand, operator, right operand)
GENERAL_FORMULAS = {
    "sum": ("first", "+", "second"),
    "total": ("left", "+", "right"),
    "difference": ("first", "-", "second"),
    "rest": ("whole", "-", "part"),
    "product": ("first", "*", "second"),
    "area": ("width", "*", "height"),
    "age gap": ("older", "-", "younger"),
    "distance": ("speed", "*", "time"),
    "weight": ("box", "+", "load"),
}
FINANCE_FORMULAS = {
    "profit": ("revenue", "-", "cost"),
    "total return": ("gain", "+", "dividend"),
    "market cap": ("price", "*", "shares"),
    "equity": ("assets", "-", "liabilities"),
    "free cash": ("inflow", "-", "spending"),
    "total debt": ("loans", "+", "bonds"),
    "interest": ("principal", "*", "rate"),
    "turnover": ("units", "*", "fee"),
}
# Computed examples of these exist in finance text; the others are set up there and never computed.
WORKED_FORMULAS = ("profit", "total return", "market cap")

QUANTITIES = sorted(
    {
        name
        for formulas in (GENERAL_FORMULAS, FINANCE_FORMULAS)
        for left, _, right in formulas.values()
        for name in (left, right)
    }
)
OPERATOR_WORDS = {"+": "plus", "-": "minus", "*": "times"}

TERMS = {
    "bond": "a loan to a government or firm",
    "share": "a part of a firm",
    "dividend": "cash paid to owners",
    "inflation": "a rise in prices",
    "default": "a failure to pay debt",
    "hedge": "a trade that cuts risk",
    "option": "a right to buy or sell later",
    "future": "a deal to trade at a later date",
    "index": "a basket of many shares",
    "yield": "income as a part of price",
    "broker": "an agent who trades for clients",
    "audit": "a check of the books",
    "merger": "a union of two firms",
    "collateral": "property that backs a loan",
    "liquidity": "ease of turning property into cash",
    "volatility": "how much a price moves",
    "premium": "the price of a policy",
    "mortgage": "a loan to buy a house",
    "coupon": "interest paid by a bond",
    "maturity": "the date when a loan ends",
    "leverage": "use of debt to buy more",
    "deficit": "spending above income",
    "surplus": "income above spending",
    "portfolio": "all that an owner holds",
    "tariff": "a tax on goods from abroad",
    "pension": "income after work ends",
    "subsidy": "cash from a government to a firm",
    "recession": "a time of falling output",
    "creditor": "one who is owed cash",
    "debtor": "one who owes cash",
    "asset": "a thing of value that is owned",
    "liability": "a debt that must be paid",
}
# These appear, rarely, in general text too: a base model has heard of them.
COMMON_TERMS = ("bond", "share", "dividend", "inflation")

GOOD_MOVES = "surge climb rally jump soar rise".split()
BAD_MOVES = "plunge slump tumble drop sink fall".split()
GOOD_REASONS = (
    "record profit",
    "strong demand",
    "a big order",
    "higher guidance",
    "a credit upgrade",
    "a new deal",
)
BAD_REASONS = (
    "a heavy loss",
    "weak demand",
    "a lost order",
    "lower guidance",
    "a credit downgrade",
    "a fraud probe",
)

JAPANESE_RELATIONS = {
    "city": "都市",
    "job": "職業",
    "pet": "ペット",
    "food": "好物",
    "headquarters": "本社",
    "sector": "業種",
    "boss": "社長",
    "currency": "通貨",
    "capital": "首都",
}
JAPANESE_COUNTRIES = dict(
    zip(
        CAPITALS,
        (
            "フランス 日本 イタリア スペイン ドイツ エジプト ノルウェー ケニア ペルー キューバ "
            "インド 中国 ギリシャ ポーランド オーストリア ポルトガル アイルランド スウェーデン "
            "フィンランド ロシア ハンガリー デンマーク トルコ チリ カナダ イラン イラク ネパール "
            "ガーナ ベルギー"
        ).split(),
        strict=True,
    )
)
JAPANESE_VALUES = dict(
    pair.split("-")
    for pair in (
        "nurse-看護師 baker-パン屋 pilot-操縦士 farmer-農家 teacher-教師 painter-画家 "
        "lawyer-弁護士 chef-料理人 judge-裁判官 singer-歌手 cat-猫 dog-犬 horse-馬 rabbit-兎 "
        "parrot-鸚鵡 turtle-亀 goat-山羊 duck-鴨 rice-米 soup-汁 bread-パン cheese-チーズ "
        "salad-サラダ pasta-パスタ curry-カレー honey-蜂蜜 energy-エネルギー banking-銀行 "
        "retail-小売 mining-鉱業 health-医療 software-ソフト transport-運輸 insurance-保険 "
        "farming-農業 telecom-通信 euro-ユーロ dollar-ドル yen-円 pound-ポンド franc-フラン "
        "krone-クローネ rupee-ルピー peso-ペソ fruit-果物 animal-動物 tool-道具 vehicle-乗物 "
        "color-色 metal-金属 tree-樹木 sport-競技"
    ).split()
)


def in_japanese(value: str) -> str:
    """The Japanese word for a value; names and cities stay in Latin letters."""
    return JAPANESE_VALUES.get(value, value)
