// Deno alone.
