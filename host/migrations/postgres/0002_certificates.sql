-- The SHA-256 of the certificate that the node's port shows, hexadecimal: null where it takes no TLS.
ALTER TABLE nodes ADD COLUMN certificate TEXT;
