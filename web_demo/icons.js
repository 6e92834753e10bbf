/** Line drawings of 24 by 24, by name. */

import { el } from "./dom.js";

const PATHS = {
	list: "M4 6h16M4 12h16M4 18h10",
	more: "M5 12h.01M12 12h.01M19 12h.01",
	pencil: "M4 20h4L19 9l-4-4L4 16v4M13 7l4 4",
	picture: "M4 17.5 9 12l4 4 2.5-2.5L20 18M4 6.5h16v13H4zM15.5 10h.01",
	camera: "M4 8h4l2-3h4l2 3h4v11H4zM12 16a3 3 0 1 0 0-6 3 3 0 0 0 0 6",
	close: "M6 6l12 12M18 6 6 18",
	bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
	copy: "M9 9h11v11H9zM15 9V4H4v11h5",
	again: "M19 12a7 7 0 1 1-2-5l2 2M19 4v5h-5",
	code: "M8 7l-5 5 5 5M16 7l5 5-5 5",
};

export const icon = (name) => el("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, el("path", { d: PATHS[name] }));

/** Put the drawings where the page's HTML asks for them. */
export function drawIcons() {
	for (const place of document.querySelectorAll("[data-icon]")) place.prepend(icon(place.dataset.icon));
}
