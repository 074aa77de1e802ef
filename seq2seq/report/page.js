// A sentence as the page has it (seq2seq/report/judged.py says what each letter is). Text reaches the page as text alone.

const STEP = 20;  // sentences shown at once
const PHRASES = 2;  // said again that are quoted
const NAMES = { s: "Source", h: "Translation", r: "Reference" };
const END = "</s>";

const ORDERS = {
  worst: ["chrF, lowest first", (a, b) => a.c - b.c || a.n - b.n],
  best: ["chrF, highest first", (a, b) => b.c - a.c || a.n - b.n],
  "bleu-worst": ["BLEU, lowest first", (a, b) => a.b - b.b || a.n - b.n],
  "bleu-best": ["BLEU, highest first", (a, b) => b.b - a.b || a.n - b.n],
  longest: ["source, longest first", (a, b) => length(b) - length(a) || a.n - b.n],
  shortest: ["source, shortest first", (a, b) => length(a) - length(b) || a.n - b.n],
  file: ["as in the file", (a, b) => a.n - b.n],
};
const KINDS = {
  all: ["all", () => true],
  repeated: ["repeated", (sentence) => "x" in sentence],
  short: ["short", (sentence) => "l" in sentence],
  overlooked: ["overlooked", (sentence) => "o" in sentence],
  exact: ["in the reference's words", (sentence) => !("d" in sentence || "m" in sentence)],
};

const textOf = (side) => (typeof side === "string" ? side : side[0]);
const wordsOf = (side) => (typeof side === "string" ? (side === "" ? [] : side.split(" ")) : side[1]);
const length = (sentence) => wordsOf(sentence.s).length;

// The words of a side between what stands between them in its text.
function fill(line, side, mark, attends) {
  const text = textOf(side);
  const words = wordsOf(side);
  let place = 0;
  words.forEach((word, i) => {
    const start = text.indexOf(word, place);
    line.append(start >= 0 ? text.slice(place, start) : " ");
    if (start >= 0) place = start + word.length;
    const kind = mark(i);
    line.append(attends || kind ? make("span", { class: `word ${kind}`.trim(), ...(attends && { "data-i": i }) }, word) : word);
  });
  if (attends) line.append(" ", make("span", { class: "word end", "data-i": words.length, title: "end of sentence" }, END));
}

// A line of the sentence: its name, and its words.
function lineOf(sentence, side, language, attends) {
  const marks = { h: sentence.d, r: sentence.m }[side] ?? "";
  const overlooked = new Set(side === "s" ? sentence.o : []);
  const mark = (i) => {
    if (overlooked.has(i)) return "overlooked";
    return marks[i] === "1" ? (side === "h" ? "differs" : "missing") : "";
  };
  const label = `${NAMES[side]}${attends ? ": arrow keys go from word to word" : ""}`;
  const words = make("p", { class: "words", dir: "auto", lang: language, ...(attends && { role: "group", "aria-label": label }) });
  fill(words, sentence[side], mark, attends);
  return make("div", { class: `line ${side}` }, make("span", { class: "label" }, NAMES[side]), words);
}

// One sentence with its lines, its scores and its faults.
function cardOf(set, sentence) {
  const attends = "a" in sentence;
  const again = sentence.x ?? [];
  const tags = [
    ...again.slice(0, PHRASES).map((phrase) => ["says again: ", make("bdi", {}, phrase)]),
    ...(again.length > PHRASES ? [[`and ${again.length - PHRASES} more`]] : []),
    ...("l" in sentence ? [["short"]] : []),
  ].map((content) => make("span", { class: "tag" }, ...content));
  if ("o" in sentence) tags.push(make("span", { class: "tag overlooks" }, "overlooks words"));
  const number = make("a", { class: "number", href: `#${encodeURIComponent(set.name)}/${sentence.n}` }, `${sentence.n}`);
  const scores = [`chrF ${sentence.c.toFixed(1)}`, `BLEU ${sentence.b.toFixed(1)}`].map((text) => make("span", {}, text));
  const lines = [["s", set.source], ["h", set.target], ["r", set.target]]
    .map(([side, language]) => lineOf(sentence, side, language, attends && side !== "r"));
  const card = make("article", { class: "sentence", "aria-label": `Sentence ${sentence.n}` },
    make("header", {}, number, ...scores, ...tags), ...lines);
  if (attends) {
    const status = make("p", { class: "status", "aria-live": "polite" });
    const button = make("button", { type: "button", class: "quiet map-button", "aria-expanded": "false" }, "Heat map");
    const attention = new Attention(card, sentence.a, status);
    button.addEventListener("click", () => {
      const shown = card.querySelector(".map");
      button.setAttribute("aria-expanded", String(!shown));
      if (shown) {
        shown.remove();
        attention.onshow = null;
      } else card.append(heatMap(attention));
    });
    card.append(make("div", { class: "under" }, status, button));
  }
  return card;
}

// A test set's sentences: what is looked for, in which order, and those shown.
class Sentences {
  constructor(section) {
    this.section = section;
    this.set = JSON.parse(document.getElementById(section.dataset.block).textContent);
    this.list = section.querySelector(".list");
    this.found = section.querySelector(".found");
    this.search = section.querySelector("input");
    [this.order, this.kind] = section.querySelectorAll("select");
    this.more = section.querySelector(".more");
    this.offer(this.order, ORDERS, (name) => name);
    this.offer(this.kind, KINDS, (name, test) => `${name} (${this.set.sentences.filter(test).length.toLocaleString("en")})`);
    this.search.addEventListener("input", () => this.update());
    this.order.addEventListener("change", () => this.update());
    this.kind.addEventListener("change", () => this.update());
    this.more.addEventListener("click", () => this.show(STEP));
    section.querySelector(".tools").hidden = false;
    this.update();
  }

  offer(select, choices, spell) {
    for (const [value, [name, use]] of Object.entries(choices)) select.append(make("option", { value }, spell(name, use)));
  }

  // Whether the sentence is `#12`, or has all the words that were typed somewhere.
  wanted() {
    const query = this.search.value.trim().toLowerCase();
    const number = /^#(\d+)$/.exec(query);
    if (number) return (sentence) => sentence.n === Number(number[1]);
    const parts = query.split(/\s+/).filter(Boolean);
    return (sentence) => {
      if (!parts.length) return true;
      const text = ["s", "h", "r"].map((side) => textOf(sentence[side])).join("\n").toLowerCase();
      return parts.every((part) => text.includes(part));
    };
  }

  update() {
    const wanted = this.wanted();
    const kind = KINDS[this.kind.value][1];
    this.rows = this.set.sentences.filter((sentence) => kind(sentence) && wanted(sentence)).sort(ORDERS[this.order.value][1]);
    this.list.replaceChildren();
    this.shown = 0;
    this.show(STEP);
  }

  show(count) {
    const rows = this.rows.slice(this.shown, this.shown + count);
    this.list.append(...rows.map((sentence) => cardOf(this.set, sentence)));
    this.shown += rows.length;
    const all = this.rows.length;
    this.found.textContent = all === 0 ? "No sentence fits." : `${this.shown.toLocaleString("en")} of ${all.toLocaleString("en")} shown`;
    this.more.hidden = this.shown >= all;
    this.more.textContent = `Show ${Math.min(STEP, all - this.shown)} more`;
  }

  find(number) {
    this.search.value = `#${number}`;
    this.kind.value = "all";
    this.update();
  }
}

// The test sets, one at a time; each is read when it is first looked at.
function start() {
  const sections = [...document.querySelectorAll(".set")];
  const tabs = [...document.querySelectorAll(".tabs button")];
  const read = new Map();
  const open = (k) => {
    sections.forEach((section, i) => { section.hidden = i !== k; });
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === k));
      tab.tabIndex = i === k ? 0 : -1;
    });
    if (!read.has(k)) read.set(k, new Sentences(sections[k]));
    return read.get(k);
  };
  tabs.forEach((tab, k) => {
    tab.addEventListener("click", () => open(k));
    tab.addEventListener("keydown", (event) => {
      const next = k + ({ ArrowLeft: -1, ArrowRight: 1 }[event.key] ?? 0);
      if (next !== k && tabs[next]) {
        open(next);
        tabs[next].focus();
      }
    });
  });
  // #NAME/12 is a sentence of a test set
  const follow = () => {
    const [, name, number] = /^#(.*)\/(\d+)$/.exec(location.hash) ?? [];
    const k = number ? sections.findIndex((section) => encodeURIComponent(section.dataset.name) === name) : -1;
    if (k < 0) return;
    open(k).find(Number(number));
    sections[k].querySelector(".tools").scrollIntoView();
  };
  if (sections.length) open(0);
  follow();
  addEventListener("hashchange", follow);
}

start();
