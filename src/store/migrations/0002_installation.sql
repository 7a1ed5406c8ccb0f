CREATE TABLE installation (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
