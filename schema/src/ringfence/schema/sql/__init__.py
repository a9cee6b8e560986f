"""SQL as text: identifiers, tokens, literals, and the dialects that it is written for. No server is asked."""
