"""What is no plain memory is told, with the reason, so that kernels decline it."""

import pytest

torch = pytest.importorskip("torch")

from torch.autograd import forward_ad  # noqa: E402

from qcore.backends.torch.library import unplain  # noqa: E402

X = torch.arange(6.0)
FOLLOWED = "autograd follows the portable function alone"
NOT_PLAIN = "the tensor is not plain memory"
TRANSFORMED = "the tensor is part of a transformed function"


class Subclass(torch.Tensor):
    """Whose values may be elsewhere."""


def followed():
    return X.clone().requires_grad_()


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (X.to_sparse(), NOT_PLAIN),
        (torch._neg_view(X), NOT_PLAIN),
        (X.as_subclass(Subclass), NOT_PLAIN),
        (followed(), FOLLOWED),
    ],
    ids=["sparse", "negative view", "subclass", "followed"],
)
def test_any_argument_that_is_not_plain_gives_the_reason(x, reason):
    assert unplain(x) == reason
    assert unplain(X, None, 3, x) == reason


def test_strided_tensors_and_what_is_none_are_plain():
    assert unplain(X, X[::2], torch.nn.Parameter(X, False), None, "spec") is None


def test_what_autograd_would_follow_is_plain_where_it_does_not():
    with torch.no_grad():
        assert unplain(followed()) is None


def test_tensors_of_a_transformed_function_are_not_plain():
    reasons = []

    def function(x):
        reasons.append(unplain(X, x))
        return x

    torch.func.vmap(function)(X)
    torch.func.grad(lambda x: function(x).sum())(X)
    assert reasons == [TRANSFORMED, TRANSFORMED]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_tensors_with_a_tangent_are_not_plain():
    with forward_ad.dual_level():
        assert unplain(forward_ad.make_dual(X, X)) == FOLLOWED
        assert unplain(X) is None
