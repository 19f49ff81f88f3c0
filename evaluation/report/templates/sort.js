"use strict";
// Tables of class "sortable": every heading becomes a button that sorts the body by its column
(() => {
  const compare = (first, second) => {
    const numbers = [Number(first), Number(second)];
    return numbers.some(Number.isNaN) ? first.localeCompare(second) : numbers[0] - numbers[1];
  };

  const sort = (table, headings, column) => {
    const descending = headings[column].getAttribute("aria-sort") === "ascending";
    headings.forEach((heading) => heading.removeAttribute("aria-sort"));
    headings[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, order: row.cells[column].dataset.order }));
    rows.sort((one, other) => {
      // What is undefined comes last either way
      if (one.order === "" || other.order === "") return (one.order === "") - (other.order === "");
      return compare(one.order, other.order) * (descending ? -1 : 1);
    });
    body.append(...rows.map(({ row }) => row));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(table, headings, column));
      heading.append(button);
    });
  }
})();
