-- Accounts of other domains, which take part in conversations here, may have the names of this server's own.
DROP INDEX accounts_name;
CREATE UNIQUE INDEX accounts_name ON accounts (name, domain);
