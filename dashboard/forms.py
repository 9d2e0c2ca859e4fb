"""Turn form fields into the plain data that the services take."""

from datetime import date
from typing import Any

from django import forms

PURPOSES = [
    ("internal", "internal use"),
    ("hosted_service", "a hosted service"),
    ("redistribution", "redistribution"),
    ("research", "research"),
    ("training_other_models", "training other models"),
]
KINDS = [("patent", "patent"), ("copyright", "copyright")]


class UseForm(forms.Form):
    """Ask for the intended use that a review is about."""

    purposes = forms.MultipleChoiceField(
        choices=PURPOSES, widget=forms.CheckboxSelectMultiple, initial=["hosted_service"]
    )
    commercial = forms.BooleanField(required=False, initial=True)
    monthly_active_users = forms.IntegerField(min_value=0, initial=20_000)
    annual_revenue_usd = forms.IntegerField(min_value=0, initial=5_000_000)
    licensee_home = forms.CharField(
        required=False, max_length=2, help_text="Country of the principal place of business."
    )
    jurisdictions = forms.CharField(initial="DE, US")
    domains = forms.CharField(initial="customer_support", required=False)

    def problem(self) -> str:
        return "; ".join(f"{name}: {text[0]}" for name, text in self.errors.items())

    def use(self) -> dict[str, Any]:
        data = self.cleaned_data
        return {
            "purposes": data["purposes"],
            "commercial": data["commercial"],
            "monthly_active_users": data["monthly_active_users"],
            "annual_revenue_usd": data["annual_revenue_usd"],
            "licensee_home": data["licensee_home"].strip().upper() or None,
            "jurisdictions": _words(data["jurisdictions"]),
            "domains": _words(data["domains"]),
        }


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


class PinForm(forms.Form):
    """Ask which licence text governs, and why."""

    licence = forms.ChoiceField()
    reason = forms.CharField(widget=forms.Textarea)

    def __init__(self, *args: Any, licences: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["licence"]
        if isinstance(field, forms.ChoiceField):
            field.choices = licences


class MatterForm(forms.Form):
    """Ask what litigation the organisation starts, against which model."""

    reference = forms.CharField(max_length=100)
    title = forms.CharField(max_length=200)
    kind = forms.ChoiceField(choices=KINDS)
    filed_on = forms.DateField(
        initial=date.today,
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
    )
    alleges_model_infringes = forms.ChoiceField(label="The model said to infringe")
    in_response = forms.BooleanField(
        required=False, label="This answers a suit that the other side brought first"
    )

    def __init__(self, *args: Any, models: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["alleges_model_infringes"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [(name, name) for name in models]

    def matter(self) -> dict[str, Any]:
        data = self.cleaned_data
        return {
            "reference": data["reference"],
            "title": data["title"],
            "kind": data["kind"],
            "status": "filed",
            "filed_on": data["filed_on"].isoformat(),
            "alleges_model_infringes": [data["alleges_model_infringes"]],
            "in_response": data["in_response"],
        }
