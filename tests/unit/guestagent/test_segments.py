"""A stream is cut into segments without a byte lost, and none is held twice."""
from hypothesis import given
from hypothesis import strategies as st

from trove.guestagent.strategies.storage import swift


@given(blocks=st.lists(st.binary(max_size=40), max_size=6), size=st.integers(1, 20))
def test_segments(blocks, size):
    buffers, pieces = swift._Buffers(2, size), []
    for piece in swift._segments(iter(blocks), buffers):
        pieces.append(bytes(piece))
        buffers.give_back(piece)
    whole = b"".join(blocks)
    assert b"".join(pieces) == whole
    assert len(pieces) == max(1, -(-len(whole) // size))
    assert all(len(piece) == size for piece in pieces[:-1])


def test_a_piece_is_given_away_before_the_next_is_filled():
    asked = []

    def blocks():
        for number in range(4):
            asked.append(number)
            yield b"12345678"
    pieces = swift._segments(blocks(), swift._Buffers(4, 8))
    for number in range(4):
        assert bytes(next(pieces)) == b"12345678"
        assert asked == list(range(number + 1))


def test_buffers_are_used_again():
    buffers = swift._Buffers(2, 8)
    first, second = buffers.take(), buffers.take()
    first[:3] = b"abc"
    buffers.give_back(first[:3])
    assert buffers.take().obj is first.obj is not second.obj
