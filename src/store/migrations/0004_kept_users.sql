ALTER TABLE app_user ADD COLUMN kept_by TEXT NOT NULL DEFAULT 'settings';
ALTER TABLE app_user ADD COLUMN extension TEXT;
ALTER TABLE app_user ADD COLUMN skills TEXT;
ALTER TABLE app_user ADD COLUMN sip_realm TEXT;
ALTER TABLE app_user ADD COLUMN on_register TEXT;
CREATE UNIQUE INDEX app_user_extension ON app_user (extension);
