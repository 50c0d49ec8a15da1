"""Rendering conversations: the model's own chat template, else the suite's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluation.errors import EvaluationFailure

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class ChatTemplate:
    """Turns messages into a prompt.

    Args:
        tokenizer: of the model.
        fallback: Jinja template for a tokenizer without one, None for no fallback.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, fallback: str | None = None) -> None:
        self.tokenizer = tokenizer
        own = getattr(tokenizer, "chat_template", None)
        self.is_own = bool(own)
        self.template = None if own else fallback

    def __bool__(self) -> bool:
        return self.is_own or self.template is not None

    def render(self, messages: list[dict[str, str]], *, add_generation_prompt: bool = True) -> str:
        """The prompt for a conversation.

        A template that knows no system role gets the conversation without it, as in the harness.

        Args:
            messages: ``{"role": ..., "content": ...}``, oldest first.
            add_generation_prompt: end where the assistant starts to answer; False: let it go on
                with the last message.

        Raises:
            EvaluationFailure: there is no template, or it cannot render the conversation.
        """
        import jinja2

        if not self:
            raise EvaluationFailure(
                "it is asked with a chat template, and neither the model nor the suite has one"
            )
        try:
            return self._apply(messages, add_generation_prompt)
        except jinja2.exceptions.TemplateError:
            pass
        rest = [message for message in messages if message["role"] != "system"]
        try:
            return self._apply(rest, add_generation_prompt)
        except (jinja2.exceptions.TemplateError, ValueError) as error:
            raise EvaluationFailure(
                f"the chat template cannot render this conversation ({error})"
            ) from error

    def _apply(self, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                messages,
                chat_template=self.template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        )
