"""What somebody with SQL, and without the keyring, does to the governance database."""

from __future__ import annotations

HEX = "f" * 64


def _user(login: str) -> str:
    return f"(SELECT id FROM accounts_user WHERE username = '{login}')"


VOTE = "(SELECT min(id) FROM studies_part WHERE kind = 'vote')"
RELEASED = "(SELECT min(id) FROM studies_extract WHERE state = 'released')"
RUN, LAST_RUN = "(SELECT min(id) FROM studies_run)", "(SELECT max(id) FROM studies_run)"
ACTIVE = "(SELECT min(id) FROM studies_proposal WHERE state = 'active')"
NOW = "'2026-01-01 00:00:00+00'"
ATTACKS: dict[str, tuple[str, str, str]] = {
    # what is done → its SQL, the table and the field that must be named; no field: the whole row
    "a vote is turned": (f"UPDATE studies_part SET opinion = 'unfavourable' WHERE id = {VOTE}", "part", "opinion"),
    "a vote gets another author": (
        f"UPDATE studies_part SET person_id = {_user('com4')} WHERE id = {VOTE}",
        "part",
        "person_id",
    ),
    "a vote's reason is rewritten": (f"UPDATE studies_part SET reason = 'x' WHERE id = {VOTE}", "part", "reason"),
    "a vote is moved to another study": (
        f"UPDATE studies_part SET proposal_id = {ACTIVE}, person_id = {_user('com4')} WHERE id = {VOTE}",
        "part",
        "proposal_id",
    ),
    "a vote is dated back": (f"UPDATE studies_part SET at = {NOW} WHERE id = {VOTE}", "part", "at"),
    "a vote is put in": (
        "INSERT INTO studies_part (proposal_id, person_id, kind, opinion, reason, at)"
        f" VALUES ({ACTIVE}, {_user('com4')}, 'vote', 'favourable', '', {NOW})",
        "part",
        "",
    ),
    "a vote is taken out": (f"DELETE FROM studies_part WHERE id = {VOTE}", "part", ""),
    "a visa is turned": ("UPDATE studies_part SET opinion = 'unfavourable' WHERE kind = 'visa'", "part", "opinion"),
    "a visa gets another author": (
        f"UPDATE studies_part SET person_id = {_user('dpo2')} WHERE kind = 'visa'",
        "part",
        "person_id",
    ),
    "a decision is turned": ("UPDATE studies_part SET opinion = 'rejected' WHERE kind = 'decision'", "part", "opinion"),
    "a vote becomes a decision": (
        "UPDATE studies_part SET kind = 'team', opinion = '' WHERE kind = 'vote'",
        "part",
        "kind",
    ),
    "somebody joins the team": (
        "INSERT INTO studies_part (proposal_id, person_id, kind, opinion, reason, at)"
        f" VALUES ({ACTIVE}, {_user('dan')}, 'team', '', '', {NOW})",
        "part",
        "",
    ),
    "a study is approved": (
        "UPDATE studies_proposal SET state = 'approved' WHERE state = 'returned'",
        "proposal",
        "state",
    ),
    "approved content is rewritten": (
        """UPDATE studies_proposal SET content = '{"title": "another"}' WHERE state = 'active'""",
        "proposal",
        "content",
    ),
    "a study ends later": (
        "UPDATE studies_proposal SET ends = '2099-12-31' WHERE state = 'active'",
        "proposal",
        "ends",
    ),
    "a decision is dated back": (f"UPDATE studies_proposal SET decided = {NOW}", "proposal", "decided"),
    "earlier reviews are rewritten": (
        """UPDATE studies_proposal SET earlier_reviews = '["x"]'""",
        "proposal",
        "earlier_reviews",
    ),
    "a proposal's version changes": ("UPDATE studies_proposal SET version = 7", "proposal", "version"),
    "a study gets another proposer": (f"UPDATE studies_study SET proposer_id = {_user('bob')}", "study", "proposer_id"),
    "results are published": (
        "INSERT INTO studies_publication (study_id, version, text, by_id, at, state, since, decided_by_id, reason)"
        f" VALUES ((SELECT min(id) FROM studies_study), 1, 'x', {_user('ada')}, {NOW}, 'results published', {NOW},"
        f" {_user('dpo')}, '')",
        "publication",
        "",
    ),
    "a request is released": (
        f"UPDATE studies_airlockrequest SET state = 'released', manifest = '{HEX}' WHERE state = 'submitted'",
        "airlockrequest",
        "state",
    ),
    "a request gets another author": (
        f"UPDATE studies_airlockrequest SET author_id = {_user('bob')}",
        "airlockrequest",
        "author_id",
    ),
    "a request becomes one for the public": (
        "UPDATE studies_airlockrequest SET destination = 'for the public'",
        "airlockrequest",
        "destination",
    ),
    "a release's manifest is replaced": (
        f"UPDATE studies_airlockrequest SET manifest = '{HEX}' WHERE state = 'released'",
        "airlockrequest",
        "manifest",
    ),
    "a release's root is replaced": (
        f"UPDATE studies_airlockrequest SET root = '{HEX}' WHERE state = 'released'",
        "airlockrequest",
        "root",
    ),
    "a void request is forgotten": ("UPDATE studies_airlockrequest SET problem = 'x'", "airlockrequest", "problem"),
    "a request is put back a round": ("UPDATE studies_airlockrequest SET round = 9", "airlockrequest", "round"),
    "a file's bytes are replaced": (f"UPDATE studies_airlockfile SET digest = '{HEX}'", "airlockfile", "digest"),
    "a file is held no more": ("UPDATE studies_airlockfile SET held = NOT held", "airlockfile", "held"),
    "a file's report is emptied": ("UPDATE studies_airlockfile SET report = '{}'", "airlockfile", "report"),
    "a file supports and needs no vote": (
        "UPDATE studies_airlockfile SET kind = 'supporting'",
        "airlockfile",
        "kind",
    ),
    "an exception is granted": (
        f"UPDATE studies_airlockfile SET exception = 'x', exception_by_id = {_user('dpo')} WHERE exception = ''",
        "airlockfile",
        "exception",
    ),
    "a file's context is rewritten": ("UPDATE studies_airlockfile SET context = 'x'", "airlockfile", "context"),
    "a checker's vote is turned": ("UPDATE studies_airlockvote SET verdict = 'refuse'", "airlockvote", "verdict"),
    "a checker's reason is rewritten": ("UPDATE studies_airlockvote SET reason = 'x'", "airlockvote", "reason"),
    "a sealed vote is replaced": ("UPDATE studies_airlockvote SET sealed = 'x'", "airlockvote", "sealed"),
    "a checker's vote gets another author": (
        f"UPDATE studies_airlockvote SET checker_id = {_user('com1')} WHERE checker_id = {_user('chk1')}",
        "airlockvote",
        "checker_id",
    ),
    "a checker's vote is put in": (
        "INSERT INTO studies_airlockvote (request_id, file_id, checker_id, sealed, verdict, ground, reason, at)"
        f" SELECT request_id, id, {_user('com1')}, 'x', 'approve', '', '', {NOW} FROM studies_airlockfile"
        " WHERE id = (SELECT max(id) FROM studies_airlockfile)",
        "airlockvote",
        "",
    ),
    "a checker's vote is taken out": (
        f"DELETE FROM studies_airlockvote WHERE checker_id = {_user('chk2')}",
        "airlockvote",
        "",
    ),
    "a checker's point is answered": (f"UPDATE studies_airlockpoint SET answered = {NOW}", "airlockpoint", "answered"),
    "a checker's point is taken out": ("DELETE FROM studies_airlockpoint", "airlockpoint", ""),
    "a word on a request is rewritten": ("UPDATE studies_airlockcomment SET text = 'x'", "airlockcomment", "text"),
    "a checker's word is nobody's": (
        "UPDATE studies_airlockcomment SET by_checker = NOT by_checker",
        "airlockcomment",
        "by_checker",
    ),
    "a results text goes by another's request": (
        "UPDATE studies_publication SET request_id = (SELECT min(id) FROM studies_airlockrequest)",
        "publication",
        "request_id",
    ),
    "a study gets another number": (
        "UPDATE studies_study SET number = 'E1999-001' WHERE id = (SELECT min(id) FROM studies_study)",
        "study",
        "number",
    ),
    "an answer is rewritten": ("UPDATE studies_point SET answer = 'no'", "point", "answer"),
    "a point is answered": (f"UPDATE studies_point SET answered = {NOW}", "point", "answered"),
    "a point is taken out": ("DELETE FROM studies_point", "point", ""),
    "a condition was met by another": (
        f"UPDATE studies_condition SET met_by_id = {_user('bob')}",
        "condition",
        "met_by_id",
    ),
    "a condition is softened": ("UPDATE studies_condition SET text = 'years'", "condition", "text"),
    "a condition is taken out": ("DELETE FROM studies_condition", "condition", ""),
    "an agreement to resume is put in": (
        "INSERT INTO studies_agreement (proposal_id, role, person_id, at) SELECT proposal_id, 'controller',"
        f" {_user('chief')}, {NOW} FROM studies_agreement",
        "agreement",
        "",
    ),
    "an agreement gets another role": ("UPDATE studies_agreement SET role = 'controller'", "agreement", "role"),
    "a comment is rewritten": ("UPDATE studies_comment SET text = 'another word'", "comment", "text"),
    "a comment gets another author": (f"UPDATE studies_comment SET author_id = {_user('dpo')}", "comment", "author_id"),
    "a count is rewritten": ("UPDATE studies_ledgeranswer SET value = 11", "ledgeranswer", "value"),
    "a count's question is rewritten": (
        "UPDATE studies_ledgeranswer SET canonical = '{}'",
        "ledgeranswer",
        "canonical",
    ),
    "a count is forgotten": ("DELETE FROM studies_ledgerreading", "ledgerreading", ""),
    "a count is charged to another": (
        f"UPDATE studies_ledgerreading SET person_id = {_user('bob')}",
        "ledgerreading",
        "person_id",
    ),
    "a count is no draft's": ("UPDATE studies_ledgerreading SET draft = NOT draft", "ledgerreading", "draft"),
    "a group is emptied": ("UPDATE studies_ledgergroup SET bits = NULL_BYTES", "ledgergroup", "bits"),
    "the roster is emptied": ("UPDATE studies_ledgerpatients SET digests = NULL_BYTES", "ledgerpatients", "digests"),
    "an extract is revived": ("UPDATE studies_extract SET state = 'cleared'", "extract", "state"),
    "an extract expires later": ("UPDATE studies_extract SET expires = '2099-12-31'", "extract", "expires"),
    "an extract's root is replaced": (f"UPDATE studies_extract SET root = '{HEX}'", "extract", "root"),
    "an extract's signing key is replaced": ("UPDATE studies_extract SET public_key = 'mine'", "extract", "public_key"),
    "an extract's risk is rewritten": (
        """UPDATE studies_extract SET report = '{"risk": {"k": 99}}'""",
        "extract",
        "report",
    ),
    "an extract's overlaps are rewritten": (
        """UPDATE studies_extract SET "overlaps" = '[{"x": 1}]'""",
        "extract",
        "overlaps",
    ),
    "an extract's linkage is rewritten": ("""UPDATE studies_extract SET linkage = '{"x": 1}'""", "extract", "linkage"),
    "an extract's patients are rewritten": ("UPDATE studies_extract SET patients = 5", "extract", "patients"),
    "an extract names another release": ("UPDATE studies_extract SET release = 'r000009'", "extract", "release"),
    "an extract names another key": ("UPDATE studies_extract SET key_id = 'other'", "extract", "key_id"),
    "an extract serves another study": (
        f"UPDATE studies_extract SET study_id = (SELECT min(id) FROM studies_study) WHERE id = {RELEASED}",
        "extract",
        "study_id",
    ),
    "a build is said to be on": (f"UPDATE studies_extract SET busy = {NOW}", "extract", "busy"),
    "a specification is widened": (
        "UPDATE studies_extractversion SET content = '{}'",
        "extractversion",
        "content",
    ),
    "a specification is put in": (
        "INSERT INTO studies_extractversion (extract_id, number, content, by_id, at)"
        f" VALUES ({RELEASED}, 99, '{{}}', {_user('ada')}, {NOW})",
        "extractversion",
        "",
    ),
    "a clearance gets another officer": (
        f"UPDATE studies_extractpart SET person_id = {_user('dpo2')} WHERE kind = 'clearer'",
        "extractpart",
        "person_id",
    ),
    "a builder is taken out": ("DELETE FROM studies_extractpart WHERE kind = 'builder'", "extractpart", ""),
    "a run gets another starter": (
        f"UPDATE studies_run SET by_id = {_user('ada')} WHERE id = {LAST_RUN}",
        "run",
        "by_id",
    ),
    "a run reads another bundle": (f"UPDATE studies_run SET digest = '{HEX}'", "run", "digest"),
    "a stopped run goes on": (f"UPDATE studies_run SET state = 'running' WHERE id = {RUN}", "run", "state"),
    "a run's settings are rewritten": ("""UPDATE studies_run SET "order" = '{"gpus": 9}'""", "run", "order"),
    "a run's weights are rewritten": (f"UPDATE studies_run SET weights = '{HEX}'", "run", "weights"),
    "a model is promoted": (
        f"UPDATE studies_run SET promoted = {NOW}, promoted_by_id = {_user('dan')} WHERE id = {LAST_RUN}",
        "run",
        "promoted",
    ),
    "a run names another job": ("UPDATE studies_run SET job = '4711'", "run", "job"),
    "a run is taken out": (f"DELETE FROM studies_run WHERE id = {LAST_RUN}", "run", ""),
    "a notification is rewritten": ("UPDATE studies_notification SET actor = 'chief'", "notification", "actor"),
    "notifications are taken out": ("DELETE FROM studies_notification", "notification", ""),
    "a closed account is opened": ("UPDATE accounts_user SET is_active = NOT is_active", "user", "is_active"),
    "a password is replaced": ("UPDATE accounts_user SET password = 'mine'", "user", "password"),
    "an account takes another's name": (
        "UPDATE accounts_user SET username = 'com9' WHERE username = 'com1'",
        "user",
        "username",
    ),
    "letters go elsewhere": ("UPDATE accounts_user SET email = 'me@example.org'", "user", "email"),
    "an account is put in": (
        "INSERT INTO accounts_user (password, is_superuser, username, first_name, last_name, email, is_staff,"
        f" is_active, date_joined, title) VALUES ('x', {{true}}, 'mallory', '', '', '', {{true}}, {{true}}, {NOW}, '')",
        "user",
        "",
    ),
    "a role is given": (
        f"INSERT INTO accounts_heldrole (user_id, role) VALUES ({_user('bob')}, 'clinician')",
        "heldrole",
        "",
    ),
    "a role is changed": (
        f"UPDATE accounts_heldrole SET role = 'clinician' WHERE user_id = {_user('bob')}",
        "heldrole",
        "role",
    ),
    "a rule on roles is taken out": ("DELETE FROM accounts_roleexclusion", "roleexclusion", ""),
    "a rule on roles is changed": (
        "UPDATE accounts_roleexclusion SET second = 'no-' || second WHERE first = 'dpo'",
        "roleexclusion",
        "",
    ),
    "a second factor is put in": (
        "INSERT INTO mfa_authenticator (user_id, type, data, created_at)"
        f" VALUES ({_user('dpo')}, 'totp', '{{}}', {NOW})",
        "authenticator",
        "",
    ),
    "an address is put in": (
        'INSERT INTO account_emailaddress (user_id, email, verified, "primary")'
        f" VALUES ({_user('dpo')}, 'me@example.org', {{true}}, {{true}})",
        "emailaddress",
        "",
    ),
    "another directory account is linked": (
        "INSERT INTO socialaccount_socialaccount (user_id, provider, uid, last_login, date_joined, extra_data)"
        f" VALUES ({_user('dpo')}, 'hospital', 'mine', {NOW}, {NOW}, '{{}}')",
        "socialaccount",
        "",
    ),
    "another directory is put in": (
        "INSERT INTO socialaccount_socialapp (provider, provider_id, name, client_id, secret, key, settings)"
        " VALUES ('openid_connect', 'hospital', 'x', 'x', 'x', '', '{}')",
        "socialapp",
        "",
    ),
    "a group is put in": ("INSERT INTO auth_group (name) VALUES ('x')", "group", ""),
    "a role is taken": (f"DELETE FROM accounts_heldrole WHERE user_id = {_user('dpo')}", "heldrole", ""),
}
