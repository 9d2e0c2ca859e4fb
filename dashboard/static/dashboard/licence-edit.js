// Check a licence record while it is written, and show each fault at its line.
"use strict";

const form = document.getElementById("licence-form");
const text = document.getElementById("yaml");
const gutter = document.getElementById("gutter");
const list = document.getElementById("faults");
const WAIT_MS = 500;
const SAID = {
  adds: (key) => `No fault. It adds “${key}”.`,
  changes: (key) => `No fault. It changes “${key}”.`,
  repeats: (key) => `No fault, but it says what counts for “${key}” already.`,
};
let timer = 0;
let asked = 0;

function drawGutter(wrong) {
  const lines = text.value.split("\n").length;
  const spans = [];
  for (let line = 1; line <= lines; line += 1) {
    const span = document.createElement("span");
    span.textContent = line;
    if (wrong.has(line)) span.className = "wrong";
    spans.push(span);
  }
  gutter.replaceChildren(...spans);
  gutter.scrollTop = text.scrollTop;
}

function goTo(line) {
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  text.focus();
  text.setSelectionRange(start, start + (lines[line - 1] || "").length);
  const height = parseFloat(getComputedStyle(text).lineHeight);
  text.scrollTop = Math.max(0, (line - 6) * height);
}

function item(fault) {
  const row = document.createElement("li");
  if (fault.line) {
    const link = document.createElement("a");
    link.href = "#yaml";
    link.textContent = `line ${fault.line}`;
    link.addEventListener("click", (event) => {
      event.preventDefault();
      goTo(fault.line);
    });
    row.append(link, " ");
  }
  const place = document.createElement("code");
  place.textContent = fault.place;
  row.append(place, ` ${fault.message}`);
  return row;
}

function say(className, words) {
  const line = document.createElement("p");
  line.className = className;
  line.textContent = words;
  list.replaceChildren(line);
}

function show(answer) {
  drawGutter(new Set(answer.faults.map((fault) => fault.line)));
  if (answer.faults.length === 0) {
    say("sound", SAID[answer.change](answer.key));
    return;
  }
  const rows = document.createElement("ul");
  rows.className = "faults";
  rows.append(...answer.faults.map(item));
  list.replaceChildren(rows);
}

async function check() {
  const mine = (asked += 1);
  const body = new FormData();
  body.append("yaml", text.value);
  body.append("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
  try {
    const response = await fetch(form.dataset.check, { method: "POST", body });
    const answer = await response.json();
    if (mine !== asked) return; // a later text was sent meanwhile
    if (response.ok) show(answer);
    else say("muted", answer.detail);
  } catch {
    if (mine === asked) say("muted", "Not checked: the server does not answer. Saving checks again.");
  }
}

text.addEventListener("input", () => {
  drawGutter(new Set());
  clearTimeout(timer);
  timer = setTimeout(check, WAIT_MS);
});
text.addEventListener("scroll", () => {
  gutter.scrollTop = text.scrollTop;
});
check();
