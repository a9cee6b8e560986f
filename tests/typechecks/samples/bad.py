"""Mistakes, one a line: behind each the codes of mypy and of pyright that report it."""

from mirrors.gallery import DAL, WorkInsert, WorkRow, WorkUpdate


def tables_and_fields(dal: DAL) -> None:
    dal.wrok  # E: attr-defined reportAttributeAccessIssue
    dal.work.titel  # E: attr-defined reportAttributeAccessIssue
    dal.work.secret  # E: attr-defined reportAttributeAccessIssue
    dal.hidden  # E: attr-defined reportAttributeAccessIssue


def values(dal: DAL) -> None:
    dal(dal.work.id == "x")  # E: call-overload reportCallIssue
    dal(dal.work.title == 3)  # E: call-overload reportCallIssue
    dal(dal.work.kind == "water")  # E: call-overload reportCallIssue
    dal(dal.work.made_on > 3)  # E: operator reportOperatorIssue
    dal.work.price.startswith("x")  # E: attr-defined reportAttributeAccessIssue
    dal.work.title.year()  # E: attr-defined reportAttributeAccessIssue
    dal.work("x", titel="y")  # E: call-arg reportCallIssue
    dal.token.insert(id=3, text="x")  # E: arg-type reportArgumentType
    dal("work.id > 3")  # E: call-overload reportCallIssue
    dal(True)  # E: call-overload reportCallIssue


def writes(dal: DAL) -> None:
    dal.work.insert(titel="x", title="x", artist_id=1)  # E: call-arg reportCallIssue
    dal.work.insert(title="x")  # E: call-arg reportCallIssue
    dal.work.insert(title=None, artist_id=1)  # E: arg-type reportArgumentType
    dal.work.insert(title="x", artist_id=1, area=3)  # E: call-arg reportCallIssue
    dal.work.insert(title="x", artist_id=1, kind="water")  # E: arg-type reportArgumentType
    dal.work.insert(title="x", artist_id=1, sold_at="now", sold=3)  # E: arg-type reportArgumentType
    dal(dal.work.id == 3).update(titel="x")  # E: call-arg reportCallIssue
    dal(dal.work.id == 3).update(price=[])  # E: arg-type reportArgumentType
    dal.work.upsert(title="x", artist_id=1, colour="red")  # E: call-arg reportCallIssue
    dal.work.validate_and_insert(colour="red")  # E: call-arg reportCallIssue
    changes: WorkUpdate = {"colour": "red"}  # E: typeddict-unknown-key reportAssignmentType
    record: WorkInsert = {"title": "x"}  # E: typeddict-item reportAssignmentType
    print(changes, record)


def privileges(dal: DAL) -> None:
    dal.catalog.insert(title="x")  # E: attr-defined reportAttributeAccessIssue
    dal(dal.catalog.id == 3).update(title="x")  # E: attr-defined reportAttributeAccessIssue
    dal(dal.catalog).delete()  # E: attr-defined reportAttributeAccessIssue
    dal(dal.log).select()  # E: attr-defined reportAttributeAccessIssue
    dal(dal.log.line == "x")  # E: call-overload reportCallIssue
    dal(dal.stock.id == 3).update(id=4)  # E: call-arg reportCallIssue
    dal.stock.insert(count=3)  # E: attr-defined reportAttributeAccessIssue
    dal.stock.cost  # E: attr-defined reportAttributeAccessIssue
    dal.define_table("x")  # E: attr-defined reportAttributeAccessIssue


def rows(dal: DAL) -> None:
    row = dal(dal.work.id == 3).select().first()
    print(row.title)  # E: union-attr reportOptionalMemberAccess
    assert row is not None
    print(row.titel)  # E: attr-defined reportAttributeAccessIssue
    print(row.price + 1)  # E: operator reportOptionalOperand
    number: int = row.title  # E: assignment reportAssignmentType
    other: WorkRow = dal.artist(3)  # E: assignment reportAssignmentType
    row.update_record(titel="x")  # E: call-arg reportCallIssue
    print(number, other)


def joins(dal: DAL) -> None:
    joined = dal(dal.work.artist_id == dal.artist.id)
    joined.update(title="x")  # E: attr-defined reportAttributeAccessIssue
    joined.delete()  # E: attr-defined reportAttributeAccessIssue
