using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Tokenizers.Chat;
using Xunit;

namespace Lowbit.Tokenizers.Tests;

public sealed class ChatTemplateTests
{
    private static readonly ChatMessage[] s_chat = [new("system", "Be kind."), new("user", "Hello "), new("assistant", "Hi"), new("user", "Bye")];

    private static string Render(string template, IReadOnlyDictionary<string, object?>? variables = null) =>
        new ChatTemplate(template, "<s>", "</s>").Render(s_chat, addGenerationPrompt: true, variables);

    // Expected texts are what Jinja2 writes with trim_blocks and lstrip_blocks.
    [Theory]
    [InlineData("{{ 1 + 2 * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 1.0 }} {{ 6 / 3 }}", "7 3 -4 2 3.5 1024 0.5 1.0 2.0")]
    [InlineData("{{ 'a' ~ 1 ~ none ~ true ~ x }}|{{ 'ab' * 2 }}|{{ 'a' 'b' }}", "a1NoneTrue|abab|ab")]
    [InlineData("{{ 1 < 2 <= 2 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ 'b' in 'abc' }} {{ 3 not in [1, 2] }} {{ 'k' in {'k': 1} }}", "True True True True True True")]
    [InlineData("{{ not true or true and false }} {{ 0 or 'x' }} {{ '' and 'y' }}|{{ 'p' if 1 > 2 else 'q' }}{{ 'r' if false }}", "False x |q")]
    [InlineData("{{ [1, 'two', none, {'k': 'v'}, (1, 2)] }}", "[1, 'two', None, {'k': 'v'}, [1, 2]]")]
    [InlineData("{{ messages[0].role }} {{ messages[-1]['content'] }} {{ messages[1:]|length }} {{ messages[::-1][0].content }} {{ 'abcdef'[1:4] }} {{ 'abcdef'[-2:] }} {{ 'abc'[::-1] }}", "system Bye 3 Bye bcd ef cba")]
    [InlineData("{{ ' a b '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'a,b,c'.split(',')[1] }}|{{ 'a b  c'.split()|length }}|{{ 'a-b-c'.split('-', 1)[-1] }}|{{ 'a-b-c'.rsplit('-', 1)[0] }}", "a b|a|b|3|b-c|a-b")]
    [InlineData("{{ 'Ab'.upper() }}{{ 'Ab'.lower() }}{{ 'ab cd'.title() }}{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith(('x', 'c')) }}{{ 'a.b'.replace('.', '-') }}{{ 'aaa'.replace('a', 'b', 2) }}", "ABabAb CdTrueTruea-bbba")]
    [InlineData("{{ ' x '|trim }}|{{ 'abc'|length }}|{{ x|default('d') }}|{{ ''|default('d', true) }}|{{ [1,2,3]|join('-') }}|{{ [1,2]|first }}{{ [1,2]|last }}|{{ '12'|int + 1 }}|{{ 'a'|upper }}", "x|3|d|d|1-2-3|12|13|A")]
    [InlineData("{{ {'b': [1, 2.5, true, none], 'a': 'ü\"\\n'}|tojson }}", "{\"b\": [1, 2.5, true, null], \"a\": \"ü\\\"\\n\"}")]
    [InlineData("{{ {'a': [1], 'b': {}}|tojson(indent=2) }}", "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}")]
    [InlineData("{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|join('+') }} {{ messages|rejectattr('role', 'eq', 'user')|list|length }} {{ ['a ', ' b']|map('trim')|join }}", "Hello +Bye 2 ab")]
    [InlineData("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{{ ',' if not loop.last }}{% endfor %} {% for k, v in {'b': 1, 'a': 2}|dictsort %}{{ k }}{% endfor %}", "a1,b2 ab")]
    [InlineData("{% for i in range(2, 9, 3) %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ i }} {% else %}none{% endfor %}{% for i in [] %}{% else %}empty{% endfor %}", "103True2 212False5 321False8 empty")]
    [InlineData("{% for m in messages if m.role == 'user' %}{{ loop.previtem.content if not loop.first }}>{{ loop.nextitem.content if loop.nextitem is defined }};{% endfor %}", ">Bye;Hello >;")]
    [InlineData("{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "02")]
    [InlineData("{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + 1 %}{% endfor %}{{ x }}{% set ns = namespace(n=1) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}{% set a, b = 'pq' | list %}{{ b }}", "14q")]
    [InlineData("{% set text %}a{{ 1 }}{% endset %}{{ text|upper }}{% macro m(a, b='z') %}[{{ a }}{{ b }}]{% endmacro %}{{ m('x') }}{{ m('x', b='y') }}", "A1[xz][xy]")]
    [InlineData("{{ x is defined }}{{ x is not defined }}{{ none is none }}{{ 'a' is string }}{{ {} is mapping }}{{ [] is iterable }}{{ [] is sequence }}{{ 1 is number }}{{ true is boolean }}{{ true is true }}{{ false is false }}{{ 4 is even }}{{ 3 is divisibleby 3 }}", "FalseTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrue")]
    [InlineData("{% raw %}{{ x }}{% endraw %}{# gone #}{% generation %}g{% endgeneration %}", "{{ x }}g")]
    [InlineData("{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ tools is none }}", "<s></s>TrueTrue")]
    [InlineData("{{ messages[0].get('name', 'anon') }}{{ messages[0].get('role') }}{{ '%' }}{{ messages[0].missing }}{{ 'x'|indent(2, true) }}", "anonsystem%  x")]
    public void Expressions_and_statements_are_those_of_Jinja(string template, string expected) => Assert.Equal(expected, Render(template));

    [Theory]
    [InlineData("a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc")]     // trim_blocks, lstrip_blocks, no line end at the end
    [InlineData("a \n {%- if true -%} \n b {%- endif +%}\nc", "ab\nc")]
    [InlineData("x {{ 'y' }}\n z", "x y\n z")]                                 // a print keeps what surrounds it
    [InlineData("x\n  {{- 'y' -}}  \n z", "xyz")]
    [InlineData("  {%+ if true %}\na{% endif %}", "  a")]
    [InlineData("a\n  {# c #}\nb", "a\nb")]
    [InlineData("a {% if true %}b{% endif %} c", "a b c")]
    [InlineData("a\r\nb", "a\nb")]
    [InlineData("{{ {'a': {'b': 1}} }}", "{'a': {'b': 1}}")]
    public void White_space_goes_as_transformers_wants(string template, string expected) => Assert.Equal(expected, Render(template));

    [Fact]
    public void Instruction_brackets_demand_that_the_roles_alternate()
    {
        const string template = """
            {%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] %}{%- set rest = messages[1:] %}{%- else %}{%- set rest = messages %}{%- endif %}
            {{- bos_token }}
            {%- for message in rest %}
                {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
                    {{- raise_exception('roles must alternate') }}
                {%- endif %}
                {%- if message['role'] == 'user' %}
                    {%- if loop.last and system is defined %}{{- '[INST] ' + system + '\n\n' + message['content'] + '[/INST]' }}{%- else %}{{- '[INST] ' + message['content'] + '[/INST]' }}{%- endif %}
                {%- else %}
                    {{- ' ' + message['content'] + eos_token }}
                {%- endif %}
            {%- endfor %}
            """;
        Assert.Equal("<s>[INST] Hello [/INST] Hi</s>[INST] Be kind.\n\nBye[/INST]", Render(template));
        LowbitException fault = Assert.Throws<LowbitException>(() => new ChatTemplate(template, "<s>", "</s>").Render([new("user", "a"), new("user", "b")]));
        Assert.Contains("roles must alternate", fault.Message);
        Assert.Contains("line 5", fault.Message);
    }

    [Fact]
    public void Turns_rename_the_assistant()
    {
        const string template = "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
            + "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}";
        Assert.Equal("<s><start_of_turn>system\nBe kind.<end_of_turn>\n<start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\nHi<end_of_turn>\n<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n", Render(template));
    }

    [Fact]
    public void The_date_comes_from_the_clock()
    {
        ChatTemplate template = new("{{ strftime_now('%d %b %Y') }}") { Clock = new FixedClock() };
        Assert.Equal("03 Feb 2025", template.Render([]));
    }

    [Theory]
    [InlineData("a\n{% if %}", "line 2", "«%}»")]
    [InlineData("{{ 1 +", "line 1", "not closed")]
    [InlineData("\n\n{% unless x %}", "line 3", "unless")]
    [InlineData("{% for x in y %}", "line 1", "endfor")]
    [InlineData("{{ x.y.z }}", "line 1", "«x», which is not defined")]
    [InlineData("{{ 'a' + 1 }}", "line 1", "the number 1")]
    [InlineData("{{ 1 // 0 }}", "line 1", "division by 0")]
    [InlineData("\n{{ 'a'|frobnicate }}", "line 2", "frobnicate")]
    [InlineData("{{ 'a'.frobnicate() }}", "line 1", "frobnicate")]
    [InlineData("{{ nothing() }}", "line 1", "nothing")]
    [InlineData("{{ 9999999999999999999 }}", "line 1", "64 bits")]
    [InlineData("{{ 9223372036854775807 + 1 }}", "line 1", "64 bits")]
    public void Errors_name_the_line_and_what_was_found(string template, string line, string found)
    {
        LowbitException fault = Assert.Throws<LowbitException>(() => Render(template));
        Assert.Contains(line, fault.Message);
        Assert.Contains(found, fault.Message);
    }

    [Theory]
    [InlineData("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}")]
    [InlineData("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")]
    [InlineData("{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}")]
    [InlineData("{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}")]
    [InlineData("{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}")]
    [InlineData("{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}")]
    [InlineData("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}")]
    [InlineData("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns|tojson }}")]
    [InlineData("{{ 'abc' * 99999999999 }}")]
    [InlineData("{{ range(99999999999) }}")]
    [InlineData("{{ 'ab'|replace('a', 'b' * 16000000) * 2 }}")]
    public void Hostile_templates_end(string template) => Assert.Throws<LowbitException>(() => Render(template));

    // Each costs little for itself; the loop would run for seconds or hours.
    [Theory]
    [InlineData("s|upper")]
    [InlineData("s|lower")]
    [InlineData("s|title")]
    [InlineData("s|capitalize")]
    [InlineData("s|trim")]
    [InlineData("s|string")]
    [InlineData("s|int")]
    [InlineData("s|float")]
    [InlineData("s|indent")]
    [InlineData("s|first")]
    [InlineData("s|last")]
    [InlineData("s|list")]
    [InlineData("l|list")]
    [InlineData("l|reverse")]
    [InlineData("l|string")]
    [InlineData("l|map('abs')")]
    [InlineData("l|map(attribute='x')")]
    [InlineData("e|join")]
    [InlineData("'a'.startswith(l)")]
    [InlineData("'a'.endswith([s, s])")]
    [InlineData("s == t")]
    [InlineData("s <= t")]
    [InlineData("s in {}")]
    [InlineData("{}[s]")]
    [InlineData("{}.get(s)")]
    [InlineData("{s: 1}")]
    [InlineData("1[l]")]
    [InlineData("strftime_now(s)")]
    public void Work_on_long_values_is_counted(string expression) => Assert.Contains("steps", Assert.Throws<LowbitException>(() => Render(
        "{% set s = 'ab' * 40000 %}{% set t = 'ab' * 40000 %}{% set l = range(80000) %}{% set e = ('x' * 80000).split('x') %}"
        + "{% for i in range(10000) %}{% set x = " + expression + " %}{% endfor %}")).Message);

    [Theory]
    [InlineData("'a' * 80000 in t")]
    [InlineData("t.strip('b' * 80000 ~ 'a')")]
    [InlineData("('a' * 80000).find(t)")]
    [InlineData("('a' * 80000).count(t)")]
    [InlineData("('a' * 80000).replace(t, '')")]
    [InlineData("('a' * 80000).split(t, 1)")]
    public void Searches_are_counted_by_their_worst_case(string expression) =>
        Assert.Contains("steps", Assert.Throws<LowbitException>(() => Render("{% set t = 'a' * 40000 ~ 'b' %}{{ " + expression + " }}")).Message);

    [Fact]
    public void Tables_of_members_and_parameters_are_counted()
    {
        string many = string.Join(',', Enumerable.Range(0, 20_000).Select(i => $"'k{i}':1")), names = string.Join(',', Enumerable.Range(0, 20_000).Select(i => $"p{i}"));
        foreach (string expression in new[] { "m|dictsort", "m.items()", "m.keys()", "m.values()", "m|first", "f()" })
        {
            string template = "{% set m = {" + many + "} %}{% macro f(" + names + ") %}{% endmacro %}{% for i in range(2000) %}{% set x = " + expression + " %}{% endfor %}";
            Assert.Contains("steps", Assert.Throws<LowbitException>(() => Render(template)).Message);
        }
    }

    [Fact]
    public void Lines_are_counted_beside_their_characters()
    {
        Assert.Contains("steps", Assert.Throws<LowbitException>(() => Render("{% set n = '\\n' * 80000 %}{% for i in range(500) %}{% set x = n.splitlines() %}{% endfor %}")).Message);
        Assert.Contains("a list of more than", Assert.Throws<LowbitException>(() => Render("{{ ('\\n' * 2000000).splitlines()|length }}")).Message);
    }

    [Fact]
    public void A_length_costs_nothing() =>
        Assert.Equal("160001", Render("{% set l = range(80000) %}{% set s = 'ab' * 40000 %}{% for i in range(10000) %}{% set x = l|length + s|length %}{% endfor %}{{ l|length + s|length + 1 }}"));

    [Fact]
    public void Raw_blocks_are_cut_in_one_pass()
    {
        string inside = string.Concat(Enumerable.Repeat("{%", 300_000));
        Assert.Equal(inside, Render("{% raw %}" + inside + "{%- endraw -%}"));
        Assert.Equal(inside + " %}", Render("{% raw %}" + inside + " %}{% endraw %}"));
        Assert.Contains("not closed", Assert.Throws<LowbitException>(() => Render("{% raw %}" + inside)).Message);
        Assert.Contains("not closed", Assert.Throws<LowbitException>(() => Render("{% raw %}x{% endraw")).Message);
    }

    [Fact]
    public void Long_names_are_rejected_and_many_strings_in_a_row_are_one()
    {
        Assert.Contains("2000 characters", Assert.Throws<LowbitException>(() => Render("{{ " + new string('x', 2000) + " }}")).Message);
        Assert.Equal("600000", Render("{{ (" + string.Concat(Enumerable.Repeat("'a' ", 600_000)) + ")|length }}"));
    }

    [Fact]
    public void Deep_nesting_ends()
    {
        foreach (int depth in new[] { 4000, 100_000 }) Assert.Throws<LowbitException>(() => Render("{{ 'a'|map(" + string.Join(',', Enumerable.Repeat("'map'", depth)) + ") }}"));
        Assert.Throws<LowbitException>(() => Render("{{ " + new string('(', 200_000) + "1" + new string(')', 200_000) + " }}"));
        Assert.Throws<LowbitException>(() => Render("{{ " + string.Join('+', new string('1', 200_000).ToCharArray()) + " }}"));
        Assert.Throws<LowbitException>(() => Render("{{ " + string.Concat(Enumerable.Repeat("not ", 200_000)) + "1 }}"));
    }

    [Fact]
    public void Values_of_unknown_kinds_are_rejected()
    {
        LowbitException fault = Assert.Throws<LowbitException>(() => Render("", new Dictionary<string, object?> { ["tools"] = new Version(1, 2) }));
        Assert.Contains("tools", fault.Message);
    }

    private sealed class FixedClock : TimeProvider
    {
        public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

        public override DateTimeOffset GetUtcNow() => new(2025, 2, 3, 4, 5, 6, TimeSpan.Zero);
    }
}
