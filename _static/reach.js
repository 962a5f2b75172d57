// What scrolls sideways is a stop for the keyboard, and its edge fades where more is to come; and
// what the theme says of itself to those who listen is put right.
document.addEventListener("DOMContentLoaded", () => {
  // A name must hold the words that are seen: those of these two say it all. An icon has no words.
  for (const named of document.querySelectorAll("article summary, .search-button-field")) {
    named.removeAttribute("aria-label");
  }
  for (const fold of document.querySelectorAll(".has-children summary")) {
    fold.ariaLabel = `Pages of ${fold.closest("li").querySelector("a").textContent}`;
  }
  for (const icon of document.querySelectorAll("button > i")) icon.removeAttribute("title");

  const article = document.querySelector("article.bd-article");
  if (!article) return;

  const mark = (box) => {
    const more = box.scrollWidth - box.clientWidth;
    const scrolls = more > 1 && /auto|scroll/.test(getComputedStyle(box).overflowX);
    if (scrolls) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
    box.classList.toggle("fades", scrolls && box.scrollLeft < more - 1);
    box.style.setProperty("--seen", `${box.scrollLeft + box.clientWidth}px`);
    for (const formula of box.querySelectorAll("mjx-container")) mark(formula);
  };
  const boxes = article.querySelectorAll("pre, table, figure, .math, .cell_output > *");
  // At once, and when a box is unfolded, filled by MathJax or narrowed.
  const sizes = new ResizeObserver((changed) => changed.forEach(({ target }) => mark(target)));
  for (const box of boxes) sizes.observe(box);
  document.fonts.addEventListener("loadingdone", () => boxes.forEach(mark));
  article.addEventListener("scroll", ({ target }) => mark(target), { capture: true });

  // Entries of a bibliography are no items of a list.
  for (const list of document.querySelectorAll(".citation-list")) list.removeAttribute("role");
  // Every proof and exercise has the same ids inside.
  const names = /^(proof|[a-z]+-content)$/;
  for (const part of article.querySelectorAll("[id]")) {
    if (names.test(part.id)) part.removeAttribute("id");
  }
});
