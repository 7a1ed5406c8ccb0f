CREATE TABLE setting_version (
  document TEXT NOT NULL,
  version BIGINT NOT NULL,
  text TEXT NOT NULL,
  overridden BIGINT NOT NULL,
  author TEXT NOT NULL,
  note TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (document, version)
);
