-- An outcome is kept with its place in the stream OUTCOMES, and not with the server that took it: what a
-- server that was killed has lost is what lay behind the end that it has now, and nothing else.
ALTER TABLE intake_outcomes ADD COLUMN told_sequence bigint;
GRANT UPDATE (told_sequence) ON intake_outcomes TO florin_service;
REVOKE UPDATE (told_to) ON intake_outcomes FROM florin_service;
ALTER TABLE intake_outcomes DROP COLUMN told_to;
