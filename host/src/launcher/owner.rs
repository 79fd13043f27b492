//! Whom a listener belongs to.
