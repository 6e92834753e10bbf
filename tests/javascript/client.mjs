// The official client, unmodified, as the environment aims it; and what the tests share.

import OpenAI from "openai";

export const MODEL = "kosmos-x";

export const client = new OpenAI({
  baseURL: `${process.env.BASE_URL}/v1`,
  apiKey: process.env.KEY,
  maxRetries: 0,
});

/** All that an async iterable yields. */
export async function all(iterable) {
  const found = [];
  for await (const each of iterable) found.push(each);
  return found;
}

/** The words of a stream's deltas. */
export function textOf(events) {
  return events
    .filter((event) => event.type === "response.output_text.delta")
    .map((event) => event.delta)
    .join("");
}
