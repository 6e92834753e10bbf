/**
 * State → page. Draws; decides nothing. Given equal state it leaves the page as it is.
 */

import { Easel } from "./boxes.js";
import { isLive, liveTurn, pace, pictureOf, sessionTotals, turnCostMicro } from "./conversation.js";
import { el, reconcile, update } from "./dom.js";
import { marksOf, whereInWords } from "./grounding.js";
import { parse, render } from "./markdown.js";
import { dollars } from "./money.js";
import { renderReceipt } from "./receipt.js";
import { Speech } from "./speech.js";
import { CONNECTION, count, endingInWords, errorInWords, seconds } from "./words.js";

const NEAR_END_PX = 80;
const IDEAS = {
  picture: ["Describe the picture in detail.", "How many objects are there?", "What colours do you see?"],
  words: ["Hello! What can you do?"],
};

const byId = (id) => document.getElementById(id);

export class View {
  #easel = new Easel(byId("frame"));
  #speech = new Speech(byId("speech"));
  #drawnTurns = new Map(); // key → what its article was drawn from
  #marks = new Map(); // key → {text, groundings, marks}
  #failed = null; // key of the turn whose failure was told last

  /** `ui` is what is not part of the conversation: key, draft, connection, what is lit. */
  render(state, ui) {
    const live = liveTurn(state);
    const closed = state.session?.status === "closed";
    document.body.dataset.phase = ui.key === null ? "locked" : closed ? "closed" : "open";
    this.#status(ui, live, closed);
    this.#meter(state);
    this.#keyForm(ui);
    this.#log(state, ui);
    this.#stage(state, ui);
    this.#composer(state, ui, live, closed);
    this.light(ui.lit);
    if (live ?? state.turns.at(-1)) this.#speak(live ?? state.turns.at(-1));
  }

  /** Light up a phrase and its boxes, wherever the pointer or the focus is. */
  light(ref) {
    this.#easel.light(ref);
    for (const phrase of document.querySelectorAll(".phrase")) {
      phrase.classList.toggle("lit", phrase.dataset.ref === ref);
    }
  }

  /** Bring a phrase into view and keep it lit (its box was chosen on the picture). */
  focusPhrase(ref) {
    document.querySelector(`.phrase[data-ref="${CSS.escape(ref)}"]`)?.focus();
  }

  samples(samples) {
    byId("samples").hidden = samples.length === 0;
    byId("samples").querySelector(".strip").replaceChildren(...samples.map(sample));
  }

  showReceipt(state) {
    const answered = state.turns.filter(({ sessionId }) => sessionId === state.session.id);
    const questions = count(answered.length, "question");
    byId("receipt-body").replaceChildren(...renderReceipt(state.session, questions));
    if (!byId("receipt").open) byId("receipt").showModal();
  }

  /** The phrases of a turn; computed once for each change. */
  marks(turn) {
    const known = this.#marks.get(turn.key);
    if (known?.text === turn.text && known.groundings === turn.groundings) return known.marks;
    const { text, groundings } = turn;
    const marks = marksOf(turn.key, text, groundings);
    this.#marks.set(turn.key, { text, groundings, marks });
    return marks;
  }

  #status(ui, live, closed) {
    const state = closed ? "closed" : live && ui.connection === "open" ? "streaming" : ui.connection;
    const status = byId("status");
    status.dataset.state = state;
    if (status.textContent !== CONNECTION[state]) status.textContent = CONNECTION[state];
  }

  #keyForm(ui) {
    byId("key-form").hidden = ui.key !== null || ui.checkingKey;
    setText(byId("key-error"), ui.keyError ?? "");
  }

  #meter(state) {
    const totals = sessionTotals(state);
    byId("meter").hidden = state.session === null;
    byId("close-session").hidden = state.session === null || state.session.status === "closed";
    const figures = {
      input: totals.inputTokens.toLocaleString("en-US"),
      output: totals.outputTokens.toLocaleString("en-US"),
      images: String(totals.images),
      detections: String(totals.detections),
      cost: dollars(totals.costMicro, 4),
    };
    for (const [name, figure] of Object.entries(figures)) {
      const cell = byId("meter").querySelector(`[data-meter="${name}"]`);
      if (cell.textContent !== figure) cell.textContent = figure;
    }
  }

  #log(state, ui) {
    const log = byId("log");
    const follows = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
    log.setAttribute("aria-busy", String(liveTurn(state) !== null));
    log.hidden = state.turns.length === 0;
    byId("welcome").hidden = state.turns.length > 0 || !byId("key-form").hidden;
    state.turns.forEach((turn, index) => this.#article(log, turn, index, ui));
    while (log.childElementCount > state.turns.length) log.lastElementChild.remove();
    if (follows) log.scrollTop = log.scrollHeight;
  }

  #article(log, turn, index, ui) {
    const picture = turn.picture && ui.pictures.get(turn.picture);
    const known = this.#drawnTurns.get(turn.key);
    const old = log.children[index];
    if (known === turn && old?.dataset.key === turn.key) return;
    this.#drawnTurns.set(turn.key, turn);
    const fresh = article(turn, index, picture, this.marks(turn));
    if (old?.dataset.key !== turn.key) old ? old.replaceWith(fresh) : log.append(fresh);
    else update(old, fresh);
  }

  #stage(state, ui) {
    const shown = ui.draft ? null : this.#shownTurn(state, ui);
    const key = ui.draft ?? (shown && pictureOf(state, shown));
    const picture = key ? ui.pictures.get(key) : null;
    byId("stage").toggleAttribute("data-empty", !picture);
    byId("invitation").hidden = Boolean(picture);
    this.#easel.show(picture);
    const marks = shown && picture ? this.marks(shown) : [];
    this.#easel.draw(ui.boxes ? marks : []);
    byId("toggle-boxes").hidden = marks.length === 0;
    byId("toggle-boxes").setAttribute("aria-pressed", String(ui.boxes));
    byId("remove-picture").hidden = ui.draft === null;
    const caption = picture ? `${picture.name} · ${picture.width} × ${picture.height}` : "";
    if (byId("caption").textContent !== caption) byId("caption").textContent = caption;
  }

  /** The turn whose boxes the picture shows: the chosen one, else the newest with boxes. */
  #shownTurn(state, ui) {
    const chosen = state.turns.find(({ key }) => key === ui.shownTurn);
    if (chosen) return chosen;
    const last = state.turns.at(-1);
    if (!last) return null;
    const same = (turn) => pictureOf(state, turn) === pictureOf(state, last);
    return state.turns.findLast((turn) => turn.groundings.length > 0 && same(turn)) ?? last;
  }

  #composer(state, ui, live, closed) {
    const ready = ui.key !== null && !closed;
    byId("change-key").hidden = ui.key === null || live !== null || state.session?.status === "open";
    byId("composer").hidden = !ready;
    byId("keys").hidden = !ready;
    byId("closed").hidden = !closed;
    byId("show-receipt").hidden = !state.session?.receipt;
    setText(byId("notice"), ui.notice ?? "");

    const send = byId("send");
    const mode = live ? "stop" : "send";
    send.dataset.mode = mode;
    send.setAttribute("aria-label", live ? "Stop" : "Send");
    send.disabled = live ? live.stopping : byId("question").value.trim() === "" || ui.closing;
    byId("close-session").disabled = ui.closing;

    const draft = ui.draft && ui.pictures.get(ui.draft);
    byId("attached").hidden = !draft;
    if (draft) {
      byId("attached").querySelector("img").src = draft.url;
      setText(byId("attached").querySelector("span"), "goes with your next question");
    }
    byId("question").placeholder = draft || state.turns.some(({ picture }) => picture)
      ? "Ask about the picture…"
      : "Ask something…";

    const offered = ready && !live && (draft || state.turns.length === 0);
    const ideas = offered ? IDEAS[draft ? "picture" : "words"] : [];
    reconcile(
      byId("ideas"),
      ideas.map((idea) => el("button", { type: "button", "data-idea": idea }, idea)),
    );
  }

  #speak(turn) {
    this.#speech.follow(turn, !isLive(turn));
    if (turn.status !== "failed" || this.#failed === turn.key) return;
    this.#failed = turn.key;
    this.#speech.say(errorInWords(turn.error ?? {}));
  }
}

function sample({ file, alt }) {
  const image = el("img", { src: file, alt: "", draggable: "false" });
  const attributes = { type: "button", "data-sample": file, "aria-label": `Sample: ${alt}`, title: alt };
  const button = el("button", attributes, image);
  image.addEventListener("error", () => button.remove());
  return button;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function article(turn, index, picture, marks) {
  return el(
    "article",
    { "data-key": turn.key, "data-status": turn.status, "aria-label": `Question ${index + 1}` },
    el(
      "div",
      { class: "asked" },
      picture
        ? el(
            "button",
            { type: "button", class: "thumb", "data-turn": turn.key, "aria-label": `Show ${picture.name}` },
            el("img", { src: picture.url, alt: picture.alt ?? picture.name, width: 72, height: 72 }),
          )
        : null,
      el("p", { class: "question" }, turn.question),
    ),
    answer(turn, marks),
    facts(turn),
  );
}

function answer(turn, marks) {
  const waiting = turn.status === "waiting" && turn.text === "";
  return el(
    "div",
    { class: "answer", "data-turn": turn.key, "data-live": isLive(turn) },
    ...(waiting
      ? [el("p", { class: "thinking", "aria-label": "Waiting for the answer" }, el("i"), el("i"), el("i"))]
      : render(parse(turn.text), { document, marks, mark: phrase })),
  );
}

function phrase(text, { ref, number, hue, boxes }) {
  const where = boxes.map(whereInWords).join(" and ");
  return el(
    "span",
    {
      class: `phrase hue-${hue}`,
      role: "button",
      tabindex: "0",
      "data-ref": ref,
      "data-number": number,
      "aria-label": `${text}, box ${number}, ${where}`,
    },
    text,
  );
}

/** The line below an answer: how it ended, what it used, what to do about it. */
function facts(turn) {
  const parts = [];
  if (turn.dropped) parts.push(el("span", { class: "warn" }, "Connection lost, picking up…"));
  if (turn.resumedAt !== null) parts.push(el("span", { class: "resumed" }, `resumed at token ${turn.resumedAt}`));
  if (turn.status === "incomplete") parts.push(el("span", {}, endingInWords(turn.reason)));
  if (turn.usage) parts.push(el("span", {}, count(turn.usage.output_tokens ?? 0, "token")));
  parts.push(...speed(turn));
  const cost = turnCostMicro(turn);
  if (cost !== null) parts.push(el("span", {}, dollars(cost, 4)));
  return el(
    "footer",
    {},
    turn.status === "failed" ? failure(turn) : null,
    parts.length ? el("p", { class: "facts" }, ...parts) : null,
  );
}

function speed(turn) {
  const timing = pace(turn);
  if (!timing || isLive(turn)) return [];
  const { firstTokenMs, tokensPerSecond } = timing;
  return [
    el("span", { class: "wide" }, `${seconds(firstTokenMs)} to the first`),
    tokensPerSecond ? el("span", { class: "wide" }, `${Math.round(tokensPerSecond)} tokens/s`) : null,
  ].filter(Boolean);
}

function failure(turn) {
  return el(
    "p",
    { class: "error" },
    errorInWords(turn.error ?? {}),
    " ",
    el("button", { type: "button", class: "link", "data-retry": turn.key }, "Ask again"),
  );
}
