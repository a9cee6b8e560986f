"""SQL as text: identifiers, tokens, literals, and the dialects that it is written for; no server is asked."""
