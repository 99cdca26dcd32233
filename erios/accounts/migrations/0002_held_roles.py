"""Roles become rows: from a column a role with checks between columns to a table with triggers."""

from typing import Any

from django.db import migrations, models

BEFORE = ("clinician", "data_scientist", "data_manager", "committee", "dpo", "controller", "administrator")
"""The roles of that time, as their columns were named."""
PAIRS = (
    *(("administrator", role) for role in ("clinician", "committee", "controller", "data_manager", "data_scientist", "dpo")),
    *(("clinician", role) for role in ("controller", "dpo")),
    *(("committee", role) for role in ("controller", "data_manager", "dpo")),
    *(("controller", role) for role in ("data_manager", "data_scientist", "dpo")),
    ("data_manager", "dpo"),
    ("data_scientist", "dpo"),
)  # fmt: skip
CONFLICT = """SELECT 1 FROM accounts_heldrole held JOIN accounts_roleexclusion pair
    ON pair.first = held.role AND pair.second = NEW.role WHERE held.user_id = NEW.user_id AND held.id <> NEW.id"""
REFUSAL = "roles that exclude each other"
SQLITE = tuple(
    f"CREATE TRIGGER accounts_roles_apart_{event} BEFORE {event} ON accounts_heldrole WHEN EXISTS"
    f" ({CONFLICT.replace('held.id <> NEW.id', condition)}) BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    for event, condition in (("INSERT", "TRUE"), ("UPDATE", "held.id <> NEW.id"))
)
# The account's row is locked first, so that of two transactions the second sees what the first has written.
POSTGRESQL = (
    f"""CREATE FUNCTION accounts_roles_apart() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM 1 FROM accounts_user WHERE id = NEW.user_id FOR UPDATE;
    IF EXISTS ({CONFLICT}) THEN
        RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW; END $$""",
    "CREATE TRIGGER accounts_roles_apart BEFORE INSERT OR UPDATE ON accounts_heldrole FOR EACH ROW"
    " EXECUTE FUNCTION accounts_roles_apart()",
)


def make_triggers(apps: Any, schema_editor: Any) -> None:
    for statement in POSTGRESQL if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement)


def drop_triggers(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER accounts_roles_apart ON accounts_heldrole")
        schema_editor.execute("DROP FUNCTION accounts_roles_apart()")
    else:
        schema_editor.execute("DROP TRIGGER accounts_roles_apart_INSERT")
        schema_editor.execute("DROP TRIGGER accounts_roles_apart_UPDATE")


def columns_to_rows(apps: Any, schema_editor: Any) -> None:
    user, held, exclusion = (apps.get_model("accounts", name) for name in ("User", "HeldRole", "RoleExclusion"))
    both_ways = [*PAIRS, *((second, first) for first, second in PAIRS)]
    exclusion.objects.bulk_create(exclusion(first=_name(first), second=_name(second)) for first, second in both_ways)
    for role in BEFORE:
        people = user.objects.filter(**{f"is_{role}": True}).order_by("pk")
        held.objects.bulk_create(held(user=person, role=_name(role)) for person in people)


def rows_to_columns(apps: Any, schema_editor: Any) -> None:
    user, held = apps.get_model("accounts", "User"), apps.get_model("accounts", "HeldRole")
    for role in BEFORE:
        people = held.objects.filter(role=_name(role)).values_list("user_id", flat=True)
        user.objects.filter(pk__in=list(people)).update(**{f"is_{role}": True})


def _name(column: str) -> str:
    return column.replace("_", "-")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="HeldRole",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("role", models.CharField(max_length=40)),
                (
                    "user",
                    models.ForeignKey(on_delete=models.deletion.CASCADE, related_name="held_roles", to="accounts.user"),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("user", "role"), name="one_row_a_held_role")],
            },
        ),
        migrations.CreateModel(
            name="RoleExclusion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("first", models.CharField(max_length=40)),
                ("second", models.CharField(max_length=40)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("first", "second"), name="one_row_an_exclusion")],
            },
        ),
        migrations.RunPython(columns_to_rows, rows_to_columns),
        *(migrations.RemoveConstraint("User", f"not_{first}_and_{second}") for first, second in PAIRS),
        *(migrations.RemoveField("User", f"is_{role}") for role in BEFORE),
        migrations.RunPython(make_triggers, drop_triggers),
    ]
