"""A row that another transaction changed since this one's snapshot: MariaDB's 1020, which 11.8 gives by default."""

import pytest

from ringfence.runtime import Conflict, Database
from ringfence.runtime.dal import RingfenceDAL
from servers.base import Database as FreshDatabase
from support.server_variables import globally

pytestmark = [pytest.mark.engines("mariadb"), pytest.mark.runtime_only]


@pytest.mark.parametrize("nested", [False, True])
def test_it_is_a_conflict_and_the_whole_is_run_again(
    shop: Database, shop_db: FreshDatabase, nested: bool
) -> None:
    shop_db.execute("INSERT INTO item (name, amount) VALUES ('tea', 1)")
    met: list[object] = []

    def change(dal: RingfenceDAL) -> None:
        amount = dal(dal.item.name == "tea").select().first().amount
        if not met:  # another one comes between
            shop_db.execute("UPDATE item SET amount = amount + 10 WHERE name = 'tea'")
        dal.item.insert(name=f"run {len(met)}", amount=0)
        try:
            if nested:
                with shop.session():
                    dal(dal.item.name == "tea").update(amount=amount + 1)
            else:
                dal(dal.item.name == "tea").update(amount=amount + 1)
        except Conflict as error:
            met.append(getattr(error.__cause__, "args", (None,))[0])
            if not nested:
                raise
        if nested:
            dal.item.insert(name="after", amount=0)  # refused where the nested one met a conflict

    with globally(shop_db, innodb_snapshot_isolation=1):
        shop.run(change)
    assert met == [1020]
    expected = [("run 1", 0), ("tea", 12)]
    assert shop_db.execute("SELECT name, amount FROM item WHERE name <> 'after' ORDER BY name") == expected
