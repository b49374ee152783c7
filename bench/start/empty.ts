// Deno alone: what the other scripts here are compared with.
