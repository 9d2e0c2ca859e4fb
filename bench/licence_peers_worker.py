"""Run in .venv-peers: ask weight-audit, ai-bom and ScanCode; JSON in, one line of JSON out."""

import json
import resource
import sys
import time
from importlib import metadata


def main():
    asked = json.load(sys.stdin)
    answer = {
        "versions": {
            name: metadata.version(name)
            for name in ("weight-audit", "ai-bom", "scancode-toolkit-mini")
        },
        "pages": {one["model"]: pages(one) for one in asked["pages"]},
    }
    answer.update(texts(asked["texts"]))
    print(json.dumps(answer))


def pages(one):
    from ai_bom.compliance import licenses
    from weight_audit.classify import classify

    verdict = classify(one["model"], one["declared"])
    # ai-bom looks at the name; given the declared licence as metadata it looks for known ids there.
    named = licenses._detect_license_from_model(one["model"])
    return {
        "weight-audit": f"{verdict.license_id}: {getattr(verdict.tier, 'value', verdict.tier)}",
        "ai-bom": (named or told(one["declared"])) or "unknown",
    }


def told(declared):
    from ai_bom.compliance import licenses

    for known in [*licenses.RESTRICTIVE_LICENSES, *licenses.PERMISSIVE_LICENSES]:
        if known.lower() in declared.lower():
            return known
    return None


def texts(paths):
    if not paths:
        return {"texts": {}, "load_seconds": None, "peak_mib": None}
    began = time.perf_counter()
    from licensedcode.cache import get_index
    from scancode.api import get_licenses

    get_index()
    loaded = time.perf_counter() - began
    found = {}
    for path in paths:
        began = time.perf_counter()
        told = get_licenses(path)
        seconds = time.perf_counter() - began
        matches = [
            {"key": match["license_expression"], "score": round(float(match["score"]), 2)}
            for detection in told["license_detections"]
            for match in detection["matches"]
        ]
        found[path] = {"found": matches, "seconds": seconds}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"texts": found, "load_seconds": round(loaded, 1), "peak_mib": peak}


if __name__ == "__main__":
    main()
