// The filters of the ledger and the scoreboard. Without this script every row shows, and no filter.
addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector("form.measured");
  if (!form) return;
  const rows = [...document.querySelectorAll("table.measured tbody tr")];
  // Taken before mathematics is typeset, so that its source can be searched.
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const parts = [...document.querySelectorAll("table.measured, section.measured")];

  const filter = () => {
    const { text, ...choices } = Object.fromEntries(new FormData(form));
    const sought = text.trim().toLowerCase();
    for (const row of rows) {
      const chosen = Object.entries(choices).every(([name, value]) => !value || row.dataset[name] === value);
      row.hidden = !(chosen && texts.get(row).includes(sought));
    }
    for (const part of parts) part.hidden = !part.querySelector("tbody tr:not([hidden])");
    const count = form.querySelector("output");
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} ${count.dataset.things}`;
  };

  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
});
