// What a delta does to the state that is held: JSON merge patches (RFC 7396).

/** A JSON object. */
export type Json = { readonly [name: string]: unknown };

/** `target` with a merge patch applied; neither is changed. */
export function merged(target: Json, patch: Json): Json {
  const result: Record<string, unknown> = { ...target };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else if (isObject(value)) {
      const former = result[name];
      result[name] = merged(isObject(former) ? former : {}, value);
    } else result[name] = value;
  }
  return result;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
