-- The conversation of another hub that a group continues.
ALTER TABLE logs ADD COLUMN continues BLOB;
ALTER TABLE logs ADD COLUMN continues_domain TEXT;
