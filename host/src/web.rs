//! Pages, REST, status, sign-in, peer calls.
