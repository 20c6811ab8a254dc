// The server draws the page; this asks for it again and shows what came back.
"use strict";

const period = 2000;
let shown = document.body.outerHTML;

async function refresh() {
  const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(2 * period) });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  const drawn = next.body.outerHTML;
  const selecting = !getSelection().isCollapsed; // somebody is copying a hash
  if (drawn === shown || selecting) return;
  const scrolled = document.querySelector(".blocks")?.scrollLeft ?? 0;
  document.title = next.title;
  document.body.replaceWith(next.body);
  document.querySelector(".blocks")?.scrollTo(scrolled, 0);
  shown = drawn;
}

async function run() {
  try {
    await refresh();
  } catch {
    // A page that nobody answers for must not look like good news.
    document.title = "No answer · Outrider";
    document.body.classList.add("silent");
    document.getElementById("silent").hidden = false;
    shown = "";
  }
  setTimeout(run, period);
}

setTimeout(run, period);
