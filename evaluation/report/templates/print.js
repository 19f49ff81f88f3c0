"use strict";
// On paper nothing can be opened
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
