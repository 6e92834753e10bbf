/** A conversation to take away: as Markdown to read, as JSON to go on with. */

/** Turns → Markdown. Pure. */
export function asMarkdown(title, turns) {
	const parts = turns.map(({ question, pictures, text }) => {
		const asked = [...pictures.map(() => "[picture]"), question].join("\n");
		return `${quoted(asked)}\n\n${text}`;
	});
	return [`# ${title}`, ...parts].join("\n\n").trimEnd() + "\n";
}

/** Turns → what the API takes as `input`, with the boxes and the figures beside. Pure. */
export function asJson(title, turns, pictures) {
	const items = turns.flatMap(({ question, pictures: keys, text, groundings, responseId, usage }) => [
		{
			type: "message",
			role: "user",
			content: [
				{ type: "input_text", text: question },
				...keys.map((key) => ({ type: "input_image", image_url: pictures.get(key)?.dataUrl ?? null })),
			],
		},
		{
			type: "message",
			role: "assistant",
			content: [{ type: "output_text", text, "kosmosx:grounding": groundings }],
			response_id: responseId,
			usage,
		},
	]);
	return `${JSON.stringify({ title, items }, null, 2)}\n`;
}

export function exportAsMarkdown(title, turns) {
	download(`${fileName(title)}.md`, "text/markdown", asMarkdown(title, turns));
}

export function exportAsJson(title, turns, pictures) {
	download(`${fileName(title)}.json`, "application/json", asJson(title, turns, pictures));
}

const fileName = (title) => title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 40);

export function download(name, type, text) {
	const url = URL.createObjectURL(new Blob([text], { type }));
	const link = document.createElement("a");
	Object.assign(link, { href: url, download: name });
	link.click();
	setTimeout(() => URL.revokeObjectURL(url), 1_000);
}

function quoted(text) {
	return text.split("\n").map((line) => `> ${line}`).join("\n");
}
