"""Read what a lawyer types about a licence."""

from typing import Any

from django import forms

from compliance.rules.merge import MAX_RECORD_BYTES


class LicenceForm(forms.Form):
    """Ask for the record, for what it is meant to replace, and why."""

    yaml = forms.CharField(max_length=MAX_RECORD_BYTES, strip=False)
    ground = forms.CharField(max_length=71, required=False)
    reason = forms.CharField(max_length=4_000, required=False)

    def clean_yaml(self) -> str:
        # A browser sends CR LF; the record keeps the line ends it was written with.
        text: str = self.cleaned_data["yaml"]
        return text.replace("\r\n", "\n")

    def faults(self) -> list[dict[str, Any]]:
        """List the form's own faults as those of the record are listed."""
        return [
            {"place": name, "line": None, "message": str(text)}
            for name, texts in self.errors.items()
            for text in texts
        ]
