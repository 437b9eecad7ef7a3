"""What the source pass makes of kernel syntax, as text."""

import pytest

from npufa.sim._source_pass import KERNEL_WORD, SourceError, translate


def launched(text: str) -> str:
    return translate(text).text


@pytest.mark.parametrize(
    "source, name",
    [
        ("add<<<8, nullptr, stream>>>(x);", "add"),
        ("a::b<float, (1 > 0)> <<<n, 0, s>>> (x);", "a::b<float, (1 > 0)>"),
        ("if (x) ::add<T><<<f(1, 2), nullptr, s>>>(x);", "::add<T>"),
    ],
)
def test_launch(source, name):
    text = launched(source)
    assert f"decltype(f({name})) {{ return f({name}); }}, " in text and "<<<" not in text and ">>>" not in text
    assert text.endswith(";") and text.count("(") == text.count(")")


def test_lines_stay_where_they_are():
    source = "int a;\nadd<1,\n    2>\n  <<<8,\n nullptr, s>>>(x);\nint b;\n"
    assert launched(source).count("\n") == source.count("\n")
    assert launched(source).splitlines()[-1] == "int b;"


@pytest.mark.parametrize(
    "source", ['const char* a = "x<<<1>>>(2)";', '# 1 "<<<file>>>"\nint a;', "int x = a << b >> c;"]
)
def test_what_is_no_launch(source):
    assert launched(source) == source


@pytest.mark.parametrize(
    "attribute, task_type, programs",
    [
        ("__vector__", "KERNEL_TYPE_AIV_ONLY", {"vector"}),
        ("__cube__", "KERNEL_TYPE_AIC_ONLY", {"cube"}),
        ("__mix__(1, 2)", "KERNEL_TYPE_MIX_AIC_1_2", {"cube", "vector"}),
        ("__mix__(0,1)", "KERNEL_TYPE_MIX_AIV_1_0", {"cube", "vector"}),
    ],
)
def test_kernel_attributes(attribute, task_type, programs):
    for source in (f"{attribute} {KERNEL_WORD} void k(int a) {{ body(); }}",
                   f"template <class T> {KERNEL_WORD} {attribute} void k(T a)\n{{ body(); }}"):  # fmt: skip
        result = translate(f"int before;\n{source}")
        assert result.programs == programs and attribute not in result.text
        assert f"DeclareDefaultTaskType({task_type}); body();" in result.text


def test_names_of_c():
    assert 'extern "C"' in translate(f"{KERNEL_WORD} void k() {{}}", c_names=True).text
    assert 'extern "C"' not in translate(f"template <int n> {KERNEL_WORD} void k() {{}}", c_names=True).text
    assert 'extern "C"' not in translate(f"{KERNEL_WORD} void k() {{}}").text


def test_errors_name_the_line():
    with pytest.raises(SourceError, match="k.asc:12: a launch is written"):
        translate('# 11 "k.asc"\nint a;\nadd<<<1, 2, 3(x);\n')
    with pytest.raises(SourceError, match="k.asc:3: .*not a kind of kernel"):
        translate(f'# 3 "k.asc"\n{KERNEL_WORD} __mix__(2, 2) void k() {{}}\n')
