/** A request as the code that makes it: curl, Python, JavaScript, websocat. The key is masked. */

const SHOWN_OF_PICTURE = 40;

/** `kx_live_abc…` → `kx_live_••••`: what kind of key it is, and no more. */
export function masked(key) {
	return `${/^[a-z]+_[a-z]+_/.exec(key ?? "")?.[0] ?? ""}••••••••`;
}

/** `{curl, Python, JavaScript, websocat}` for a body of `POST /v1/responses`. Pure. */
export function snippets(body, { origin, key }) {
	const request = abridged(body);
	const secret = masked(key);
	return {
		curl: [
			`curl -N ${origin}/v1/responses \\`,
			`  -H 'Authorization: Bearer ${secret}' \\`,
			"  -H 'Content-Type: application/json' \\",
			`  -d ${shell(json({ ...request, stream: true }))}`,
		].join("\n"),
		Python: [
			"from openai import OpenAI",
			"",
			`client = OpenAI(base_url="${origin}/v1", api_key="${secret}")`,
			`request = ${python(request)}`,
			"with client.responses.create(**request, stream=True) as events:",
			"    for event in events:",
			'        if event.type == "response.output_text.delta":',
			'            print(event.delta, end="", flush=True)',
		].join("\n"),
		JavaScript: [
			'import OpenAI from "openai";',
			"",
			`const client = new OpenAI({ baseURL: "${origin}/v1", apiKey: "${secret}" });`,
			`const request = ${json(request)};`,
			"for await (const event of await client.responses.create({ ...request, stream: true })) {",
			'  if (event.type === "response.output_text.delta") process.stdout.write(event.delta);',
			"}",
		].join("\n"),
		websocat: [
			`echo ${shell(JSON.stringify({ type: "response.create", ...request }))} |`,
			`  websocat --no-close -H 'Authorization: Bearer ${secret}' \\`,
			`  ${origin.replace(/^http/, "ws")}/v1/responses`,
		].join("\n"),
	};
}

function abridged(body) {
	const text = JSON.stringify(body, (name, value) =>
		name === "image_url" ? `${value.slice(0, SHOWN_OF_PICTURE)}…` : value,
	);
	return JSON.parse(text);
}

function json(value) {
	return JSON.stringify(value, null, 2);
}

function shell(text) {
	return `'${text.replaceAll("'", "'\\''")}'`;
}

function python(value, margin = "") {
	const inner = `${margin}    `;
	if (value === null) return "None";
	if (typeof value === "boolean") return value ? "True" : "False";
	if (Array.isArray(value)) return bracketed("[", value.map((each) => python(each, inner)), "]", margin);
	if (typeof value === "object") {
		const pairs = Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${python(each, inner)}`);
		return bracketed("{", pairs, "}", margin);
	}
	return JSON.stringify(value);
}

function bracketed(open, parts, close, margin) {
	return [open, ...parts.map((part) => `${margin}    ${part},`), margin + close].join("\n");
}
