// Talk to an endpoint through the dashboard, and show thought and answer as they come.
"use strict";

const chat = document.getElementById("chat");
const form = document.getElementById("ask");
const history = [];

function add(parent, className, text) {
  const element = document.createElement("div");
  element.className = className;
  element.textContent = text;
  parent.append(element);
  return element;
}

function turn(role) {
  const box = add(chat, "turn", "");
  add(box, "role", role);
  return box;
}

function request() {
  const data = new FormData(form);
  const reasoning = { mode: data.get("mode") };
  const budget = Number(document.getElementById("budget").value);
  if (budget > 0 && reasoning.mode !== "off") reasoning.max_tokens = budget;
  return { messages: history, reasoning, max_tokens: 512, temperature: 0 };
}

function showProblem(box, problem) {
  box.classList.add("ended");
  const clause = problem.section ? ` ${problem.licence} §${problem.section}: “${problem.quote}”` : "";
  add(box, "said", `${problem.status || ""} ${problem.title || problem.message || "error"}.${clause}`);
  if (problem.detail) add(box, "meta", problem.detail);
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const parts = rest.split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const line = part.split("\n").find((one) => one.startsWith("data: "));
      if (line && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
    }
  }
}

async function answer(box, started) {
  const response = await fetch(chat.dataset.url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": form.csrfmiddlewaretoken.value },
    body: JSON.stringify(request()),
  });
  if (!response.ok) return showProblem(box, await response.json());
  let thought = null;
  let said = null;
  let ran = null;
  let usage = null;
  for await (const event of events(response)) {
    if (event.error) return showProblem(box, event.error);
    ran = event.reasoning || ran;
    usage = event.usage || usage;
    for (const choice of event.choices || []) {
      if (choice.delta.reasoning) {
        thought = thought || add(box, "thought", "");
        thought.textContent += choice.delta.reasoning;
      }
      if (choice.delta.content) {
        said = said || add(box, "said", "");
        said.textContent += choice.delta.content;
      }
    }
    chat.scrollTop = chat.scrollHeight;
  }
  const tokens = usage ? usage.completion_tokens_details.reasoning_tokens : 0;
  const mode = ran ? `reasoning ${ran.mode} (by ${ran.source})` : "";
  add(box, "meta", `${mode} · ${tokens} reasoning tokens · ${Math.round(performance.now() - started)} ms`);
  history.push({ role: "assistant", content: said ? said.textContent : "" });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = document.getElementById("question");
  const button = document.getElementById("send");
  if (!history.length) chat.replaceChildren();
  history.length = 0; // each question stands alone: the demo model knows no conversation
  history.push({ role: "user", content: question.value });
  add(turn("you"), "said", question.value);
  button.disabled = true;
  try {
    await answer(turn("model"), performance.now());
  } catch (error) {
    showProblem(chat.lastElementChild, { title: String(error) });
  } finally {
    button.disabled = false;
    chat.scrollTop = chat.scrollHeight;
  }
});
