// What a page does to its reader, as sentences. `test_browser.py` loads this into a page.

const look = {
  // A name by which a person finds the element.
  name(element) {
    const id = element.id ? `#${element.id}` : "";
    const within = element.id ? "" : element.parentElement?.closest("[id]")?.id ?? "";
    const kind = element.getAttribute("class")?.trim().split(/\s+/).slice(0, 2).join(".") ?? "";
    return `${element.localName}${id}${kind ? `.${kind}` : ""}${within ? ` in #${within}` : ""}`;
  },

  shown(element) {
    const box = element.getBoundingClientRect();
    // One pixel is how text for those who listen is kept from those who look.
    return box.width > 1 && box.height > 1 && element.checkVisibility({ visibilityProperty: true });
  },

  // Open what is folded and wait until the formulas stand: only what is shown can be looked at.
  async unfold() {
    await window.MathJax?.startup?.promise;
    await document.fonts.ready;
    for (const fold of document.querySelectorAll("details")) fold.open = true;
    for (const fold of document.querySelectorAll(".toggle-hidden")) {
      fold.classList.remove("toggle-hidden");
    }
  },

  // After a change of width or theme: the page's own scripts, and colours that fade in, are done.
  async settle() {
    for (const frame of [1, 2, 3]) await new Promise(requestAnimationFrame);
    for (const animation of document.getAnimations()) {
      if (animation.effect.getComputedTiming().endTime < Infinity) animation.finish();
    }
  },

  // What no width and no theme changes.
  always() {
    const faults = [], ids = new Set();
    for (const { id } of document.querySelectorAll("[id]")) {
      if (ids.has(id)) faults.push(`the id ${id} is there twice`);
      ids.add(id);
    }
    // An empty text is right for a picture that says nothing new, such as a sign beside its name.
    for (const picture of document.querySelectorAll("article img:not([hidden])")) {
      if (!picture.alt.trim()) faults.push(`${look.name(picture)} has no alt text`);
      if (!picture.complete || !picture.naturalWidth) faults.push(`${look.name(picture)} is broken`);
    }
    return faults;
  },

  // What sticks out of its column, cell or box, and what only a mouse can scroll.
  measures() {
    const faults = [], root = document.documentElement;
    if (root.scrollWidth > innerWidth) faults.push(`the page is ${root.scrollWidth} pixels wide`);
    const column = document.querySelector("article") ?? document.querySelector("main");
    const overflow = (element) => getComputedStyle(element).overflowX;
    const stop = "a[href], button, input, summary, [tabindex='0']";
    for (const element of column.querySelectorAll("*")) {
      if (element.parentElement.closest("mjx-container, svg") || !look.shown(element)) continue;
      const more = element.clientWidth ? element.scrollWidth - element.clientWidth : 0;
      if (/auto|scroll/.test(overflow(element))) {
        if (more > 1 && !element.matches(stop) && !element.querySelector(stop)) {
          faults.push(`${look.name(element)} scrolls, but not by keyboard`);
        }
      } else if (more > 1 && !element.childElementCount) {
        faults.push(`${look.name(element)} holds a word that is too long`);
      }
      let holder = element.parentElement;
      while (holder !== column && !holder.matches("td, th") && overflow(holder) === "visible") {
        holder = holder.parentElement;
      }
      // What sticks out of a box that scrolls is what it scrolls to.
      if (/auto|scroll/.test(overflow(holder))) continue;
      const { left, right } = holder.getBoundingClientRect(), box = element.getBoundingClientRect();
      const out = Math.round(Math.max(box.right - right, left - box.left));
      if (out > 1) {
        faults.push(`${look.name(element)} sticks out of ${holder.localName} by ${out} pixels`);
      }
    }
    return faults;
  },

  // The rules of axe go through thousands of elements one by one. So each formula, which is of one
  // colour, becomes a letter, and of what differs in nothing but its words the first one is left.
  flatten() {
    for (const formula of document.querySelectorAll("mjx-container")) formula.replaceWith("x");
    const kinds = new Set();
    const isNew = (kind) => !kinds.has(kind) && kinds.add(kind);
    for (const word of document.querySelectorAll(":is(pre, .sig) span[class]")) {
      if (!isNew(word.className)) word.replaceWith(...word.childNodes);
    }
    document.body.normalize();
    const parts = "article :is(p, tr, li, dl, pre, details):not(summary *)";
    for (const part of document.querySelectorAll(parts)) {
      const form = part.outerHTML.replace(/>[^<]*\S[^<]*/g, ">x");
      const around = [];
      for (let box = part.parentElement; box; box = box.parentElement) around.push(box.className);
      const kind = form.replace(/ (id|href|src|title)="[^"]+"/g, "");
      if (!isNew(`${around} ${kind}`)) part.remove();
    }
  },

  // Violations of axe-core's rules; of the colours' alone, which are all that a theme changes.
  async axe(only) {
    const options = { resultTypes: ["violations"], preload: false };
    if (only) options.runOnly = only;
    else options.rules = { "label-content-name-mismatch": { enabled: true } };
    const { violations } = await axe.run(document, options);
    const serious = violations.filter(({ impact }) => /serious|critical/.test(impact));
    return serious.flatMap(({ id, nodes }) =>
      nodes.map(({ target, any, all, none }) => {
        const [check] = [...any, ...all, ...none];
        return `${id}: ${target.join(" ")}: ${check?.message}`;
      }),
    );
  },
};
