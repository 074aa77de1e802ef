"use strict";

// Where the model looked: words in shades of what they have to do with one that is pointed at, and a map of all.

function make(name, attributes = {}, ...content) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(key, value);
  node.append(...content);
  return node;
}

function draw(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

const percent = (weight) => `${Math.round(100 * weight)} %`;

// Attention between words, a row for each target word and one for the end of sentence.
function unpacked(packed, columns) {
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  return Array.from({ length: bytes.length / columns }, (_, row) =>
    Array.from(bytes.subarray(row * columns, (row + 1) * columns), (byte) => byte / 255));
}

// Which words of the one side belong to a word of the other, shown in shades; by mouse, touch and keyboard.
class Attention {
  constructor(card, packed, status) {
    this.status = status;
    this.hint = "Point at a word, tap it or tab to it to see where the model looked.";
    this.pinned = null;
    this.words = { h: [...card.querySelectorAll(".h .word")], s: [...card.querySelectorAll(".s .word")] };
    this.names = { h: this.words.h.map((word) => word.textContent), s: this.words.s.map((word) => word.textContent) };
    this.weights = unpacked(packed, this.words.s.length);
    for (const side of ["s", "h"]) this.listen(side);
    this.rest();
  }

  listen(side) {
    const words = this.words[side];
    words.forEach((word, i) => {
      word.tabIndex = i === 0 ? 0 : -1;
      word.setAttribute("role", "button");
      word.setAttribute("aria-pressed", "false");
      word.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") this.show(side, i); });
      word.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") this.rest(); });
      word.addEventListener("focus", () => this.show(side, i));
      word.addEventListener("blur", () => this.rest());
      word.addEventListener("click", () => this.pin(side, i));
      word.addEventListener("keydown", (event) => this.key(event, side, i));
    });
  }

  key(event, side, i) {
    const words = this.words[side];
    const back = getComputedStyle(words[i].parentElement).direction === "rtl" ? "ArrowRight" : "ArrowLeft";
    const steps = { ArrowLeft: back === "ArrowLeft" ? -1 : 1, ArrowRight: back === "ArrowLeft" ? 1 : -1 };
    const next = { Home: 0, End: words.length - 1 }[event.key] ?? i + (steps[event.key] ?? 0);
    if (event.key === "Enter" || event.key === " ") this.pin(side, i);
    else if (event.key === "Escape") this.pin(null);
    else if (next !== i && words[next]) {
      words[i].tabIndex = -1;
      words[next].tabIndex = 0;
      words[next].focus();
    } else return;
    event.preventDefault();
  }

  // Keeps a word's answer on the page until it is chosen again, or another one.
  pin(side, i) {
    const same = side === null || (this.pinned && this.pinned.side === side && this.pinned.i === i);
    this.pinned = same ? null : { side, i };
    for (const of of ["s", "h"]) {
      this.words[of].forEach((word, j) => word.setAttribute("aria-pressed", String(!same && of === side && i === j)));
    }
    this.rest();
  }

  rest() {
    if (this.pinned) this.show(this.pinned.side, this.pinned.i);
    else this.clear();
  }

  clear() {
    for (const word of [...this.words.s, ...this.words.h]) {
      word.classList.remove("asking");
      word.style.removeProperty("--w");
    }
    this.status.textContent = this.hint;
    this.onshow?.(null);
  }

  show(side, i, j = null) {
    this.clear();
    const other = side === "h" ? "s" : "h";
    const weights = side === "h" ? this.weights[i] : this.weights.map((row) => row[i]);
    this.words[side][i].classList.add("asking");
    weights.forEach((weight, k) => this.words[other][k].style.setProperty("--w", weight.toFixed(3)));
    const told = j === null ? [...weights.keys()].sort((a, b) => weights[b] - weights[a]).slice(0, 4) : [j];
    const named = told.filter((k) => j !== null || weights[k] >= 0.02);
    const parts = named.flatMap((k, n) => [n ? ", " : " ", make("bdi", {}, this.names[other][k]), ` ${percent(weights[k])}`]);
    const verb = side === "h" ? " looked at" : " was looked at by";
    const word = make("bdi", {}, make("b", {}, this.names[side][i]));
    this.status.replaceChildren(word, verb, ...(named.length ? parts : [" nothing with 2 % or more"]));
    this.onshow?.(side === "h" ? [i, j] : [j, i]);
  }
}

// The same weights as a picture: a row for each target word.
function heatMap(attention) {
  const { h: rows, s: columns } = attention.names;
  const size = rows.length > 40 || columns.length > 40 ? 16 : 24;
  const short = (word) => (Array.from(word).length > 16 ? `${Array.from(word).slice(0, 15).join("")}…` : word);
  const widest = (words) => Math.max(...words.map((word) => Array.from(short(word)).length)) * 7.4 + 14;
  const angle = size < 20 ? 75 : 55;  // of the names above, which mustn't run into each other
  const left = widest(rows);
  const top = widest(columns) * Math.sin(angle * Math.PI / 180) + 12;
  const right = widest(columns) * Math.cos(angle * Math.PI / 180);
  const width = left + columns.length * size + right;
  const height = top + rows.length * size + 6;
  const picture = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": "Attention as a map: translation downwards, source across" });
  picture.append(draw("rect", { class: "back", x: left, y: top, width: columns.length * size, height: rows.length * size }));
  columns.forEach((word, j) => {
    const [x, y] = [left + (j + 0.5) * size + 4, top - 7];
    picture.append(draw("text", { x, y, transform: `rotate(${-angle} ${x} ${y})` }, short(word)));
  });
  rows.forEach((word, i) => {
    picture.append(draw("text", { x: left - 8, y: top + (i + 0.5) * size + 4.5, "text-anchor": "end" }, short(word)));
    attention.weights[i].forEach((weight, j) => {
      const cell = draw("rect", { class: "cell", x: left + j * size + 0.5, y: top + i * size + 0.5, width: size - 1,
        height: size - 1, "fill-opacity": weight.toFixed(3) });
      cell.addEventListener("pointerenter", () => attention.show("h", i, j));
      cell.addEventListener("pointerleave", () => attention.rest());
      picture.append(cell);
    });
  });
  const here = draw("rect", { class: "here", visibility: "hidden" });
  picture.append(here);
  attention.onshow = (place) => {
    here.setAttribute("visibility", place ? "visible" : "hidden");
    if (!place) return;
    const [i, j] = place;
    const box = { x: left + (j ?? 0) * size, y: top + (i ?? 0) * size,
      width: j === null ? columns.length * size : size, height: i === null ? rows.length * size : size };
    for (const [key, value] of Object.entries(box)) here.setAttribute(key, value);
  };
  attention.rest();
  return make("div", { class: "map", tabindex: 0 }, picture);
}
