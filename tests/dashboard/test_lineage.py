"""The lineage picture: layers by depth, one box each, cycles do no harm."""

from hypothesis import given
from hypothesis import strategies as st

from dashboard.lineage import BOX_HEIGHT, BOX_WIDTH, Node, depths, draw


def test_a_child_stands_right_of_its_parent():
    picture = draw([Node("a", "base"), Node("b", "child")], [("a", "b", "finetune")])

    base, child = picture.boxes
    assert base.x + BOX_WIDTH < child.x
    assert picture.arrows[0].label == "finetune"


def test_a_merge_stands_right_of_its_deepest_parent():
    edges = [("a", "b"), ("b", "c"), ("a", "d"), ("c", "e"), ("d", "e")]

    assert depths(list("abcde"), edges) == {"a": 0, "b": 1, "d": 1, "c": 2, "e": 3}


def test_a_cycle_still_gives_finite_depths():
    assert max(depths(["a", "b"], [("a", "b"), ("b", "a")]).values()) <= 2


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_no_two_boxes_overlap(pairs):
    nodes = [Node(str(number), f"model {number}") for number in range(8)]
    edges = [(str(low), str(high), "merge") for low, high in pairs if low < high]

    boxes = draw(nodes, edges).boxes

    places = {(box.x, box.y) for box in boxes}
    assert len(places) == 8
    for one in boxes:
        for other in boxes:
            apart_x = abs(one.x - other.x) >= BOX_WIDTH
            apart_y = abs(one.y - other.y) >= BOX_HEIGHT
            assert one.key == other.key or apart_x or apart_y
