// Keeps the pages up to date. Everything works without it: the pages then ask anew by themselves.
"use strict";

const join = document.querySelector("[data-join]");
const parts = [...document.querySelectorAll("[data-live]")].map((part) => part.id);
if (join) waitFor(join.dataset.join);
if (parts.length > 0) follow();
const log = document.querySelector("[data-log]");
if (log) append(log.dataset.log, document.getElementById("log"));

// Looks until the session is ready, then opens it; any other end shows on the page itself.
async function waitFor(id) {
  for (;;) {
    try {
      const answer = await fetch(`/api/v1/sessions/${id}`);
      if (answer.status === 401 || answer.status === 404) return location.reload();
      if (answer.ok) {
        const session = await answer.json();
        if (session.state === "active") return location.replace(session.url);
        if (session.state !== "starting") return location.reload();
      }
    } catch { /* The server is away: go on asking. */ }
    await new Promise((resolve) => setTimeout(resolve, 700));
  }
}

// Shows a log from its beginning and what comes, then the page as it is once the session is over.
async function append(id, shown) {
  let from = 0;
  let text = "";
  for (;;) {
    try {
      const answer = await fetch(`/api/v1/sessions/${id}/log?follow=true&from=${from}`);
      if (answer.status === 401 || answer.status === 404) return location.reload();
      const reader = answer.ok ? answer.body.getReader() : undefined;
      const decoder = new TextDecoder();
      for (let part = await reader?.read(); part && !part.done; part = await reader.read()) {
        from += part.value.length;
        const atEnd = shown.scrollTop + shown.clientHeight >= shown.scrollHeight - 8;
        // A page is no place for megabytes: the end is what matters.
        text = (text + decoder.decode(part.value, { stream: true })).slice(-500000);
        shown.textContent = text;
        if (atEnd) shown.scrollTop = shown.scrollHeight;
      }
      if (reader) return location.reload();
    } catch { /* Broken off: go on where it was. */ }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function follow() {
  const notice = document.getElementById("notice");
  let waiting;
  const say = (text) => {
    notice.textContent = text;
    notice.hidden = text === "";
  };
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => update(say), 200);
  };
  let events;
  const listen = () => {
    events = new EventSource("/api/v1/events");
    for (const name of ["session", "session-gone", "node", "node-gone"]) events.addEventListener(name, soon);
    events.addEventListener("away", () => say("The registry of sessions does not answer. Running sessions go on."));
  };
  // A browser opens six connections to a server: the pages that nobody looks at leave theirs to the sessions.
  const attend = () => {
    events?.close();
    if (!document.hidden) listen();
  };
  attend();
  document.addEventListener("visibilitychange", attend);
  // Refused: signed out, or too many streams. Without a stream the page asks now and then.
  setInterval(() => {
    if (!document.hidden && events.readyState === EventSource.CLOSED) update(say);
  }, 10000);
}

// Takes the changed parts from a fresh copy of the page, so that there is one way in which it is made.
async function update(say) {
  let answer;
  try {
    answer = await fetch("/", { headers: { accept: "text/html" } });
  } catch {
    return say("The server does not answer.");
  }
  if (new URL(answer.url).pathname === "/sign-in") return location.assign("/sign-in");
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  say("");
  for (const id of parts) {
    const old = document.getElementById(id);
    const now = fresh.getElementById(id);
    // What somebody has opened to act, or ticked, stays until they have.
    if (old.querySelector("details[open], input:checked")) continue;
    if (!now || old.innerHTML === now.innerHTML) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    old.replaceChildren(...now.childNodes);
    if (focused) document.getElementById(focused)?.focus();
  }
}
