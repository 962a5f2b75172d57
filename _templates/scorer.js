// What explains a term comes before what only lists it: chapters, then the rest of the book, then
// the tables and the library, and last the bibliography.
var Scorer = {
  score: ([page, title, anchor, description, score]) => {
    if (/^(bibliography|genindex|py-modindex|prf-)/.test(page)) return score - 40;
    if (/^(ganlib|reference|chapters\/(ledger|scoreboard))/.test(page)) return score - 20;
    return page.startsWith("chapters/") ? score + 10 : score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
