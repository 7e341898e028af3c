using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Text;
using Lowbit.Core;
using Lowbit.Tokenizers.Patterns;

namespace Lowbit.Tokenizers.Chat;

/// <summary>Runs a template: the statements. Names set in a loop or macro end with it, as in Jinja.</summary>
internal sealed partial class TemplateInterpreter
{
    internal const int LongestText = 1 << 24; // characters
    private const int LongestList = 1 << 20;

    private enum Flow { Next, Break, Continue }

    private sealed class Scope(Scope? outer)
    {
        private readonly Dictionary<string, object?> _values = [];

        public void Set(string name, object? value) => _values[name] = value;

        public bool TryGet(string name, out object? value)
        {
            for (Scope? scope = this; scope is not null; scope = scope.Outer)
            {
                if (scope._values.TryGetValue(name, out value)) return true;
            }
            value = null;
            return false;
        }

        private Scope? Outer { get; } = outer;
    }

    private readonly Scope _globals = new(null);
    private readonly WorkMeter _meter;
    private Scope _scope;
    private StringBuilder _output = new();
    private int _line = 1; // of what runs at the moment

    /// <summary>Prepares a run.</summary>
    /// <param name="globals">The variables that the template sees.</param>
    /// <param name="meter">Counts steps, elements of lists, and characters by eights.</param>
    public TemplateInterpreter(Map globals, WorkMeter meter)
    {
        _meter = meter;
        _scope = _globals;
        _globals.Set("raise_exception", (Function)((positional, _) =>
            throw new LowbitException($"the chat template rejects this chat: {(positional.Count > 0 ? TemplateValues.ToText(positional[0]) : "")} (line {_line}); change the messages.")));
        _globals.Set("namespace", (Function)((_, named) => Fill(new Namespace(), named)));
        _globals.Set("dict", (Function)((_, named) => Fill([], named)));
        _globals.Set("range", (Function)((positional, _) => Range(positional)));
        foreach ((string name, object? value) in globals) _globals.Set(name, value);
    }

    /// <summary>Runs the template.</summary>
    /// <exception cref="LowbitException">It fails, rejects the chat, or takes too long.</exception>
    public string Run(IReadOnlyList<Statement> body)
    {
        Execute(body);
        return _output.ToString();
    }

    private Flow Execute(IReadOnlyList<Statement> body)
    {
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack()) throw Fault("too deep recursion", "a simpler template");
        foreach (Statement statement in body)
        {
            _line = statement.Line;
            _meter.Add(1);
            switch (statement)
            {
                case Statement.Data data:
                    Write(data.Text);
                    break;
                case Statement.Print print:
                    Write(TemplateValues.ToText(Evaluate(print.Value)));
                    break;
                case Statement.If branch:
                    IReadOnlyList<Statement> chosen = branch.Otherwise;
                    foreach ((Expression condition, IReadOnlyList<Statement> inner) in branch.Branches)
                    {
                        if (!TemplateValues.IsTrue(Evaluate(condition))) continue;
                        chosen = inner;
                        break;
                    }
                    if (Execute(chosen) is not Flow.Next and Flow flow) return flow;
                    break;
                case Statement.For loop:
                    Loop(loop);
                    break;
                case Statement.Set set:
                    Assign(set);
                    break;
                case Statement.SetBlock block:
                    _scope.Set(block.Target, Captured(block.Body));
                    break;
                case Statement.Macro macro:
                    _scope.Set(macro.Name, (Function)((positional, named) => CallMacro(macro, positional, named)));
                    break;
                case Statement.Break: return Flow.Break;
                case Statement.Continue: return Flow.Continue;
            }
        }
        return Flow.Next;
    }

    private void Loop(Statement.For loop)
    {
        List<object?> items = Items(Evaluate(loop.Items));
        Scope outer = _scope;
        if (loop.Filter is not null)
        {
            items = items.Where(item =>
            {
                _scope = new Scope(outer);
                Bind(loop.Targets, item);
                return TemplateValues.IsTrue(Evaluate(loop.Filter));
            }).ToList();
        }
        for (int i = 0; i < items.Count; i++)
        {
            _meter.Add(10); // a scope and the loop variable
            _scope = new Scope(outer);
            Bind(loop.Targets, items[i]);
            _scope.Set("loop", LoopState(items, i));
            if (Execute(loop.Body) == Flow.Break) break;
        }
        _scope = outer;
        if (items.Count == 0) Execute(loop.Otherwise);
    }

    private static Map LoopState(List<object?> items, int index) => new()
    {
        ["index"] = index + 1L,
        ["index0"] = (long)index,
        ["revindex"] = (long)items.Count - index,
        ["revindex0"] = (long)items.Count - index - 1,
        ["first"] = index == 0,
        ["last"] = index == items.Count - 1,
        ["length"] = (long)items.Count,
        ["previtem"] = index > 0 ? items[index - 1] : new Undefined("previtem"),
        ["nextitem"] = index + 1 < items.Count ? items[index + 1] : new Undefined("nextitem"),
        ["cycle"] = (Function)((positional, _) => positional.Count == 0 ? null : positional[index % positional.Count]),
    };

    private void Assign(Statement.Set set)
    {
        object? value = Evaluate(set.Value);
        if (set.Member is not { } member) Bind(set.Targets, value);
        else if (_scope.TryGet(set.Targets[0], out object? target) && target is Namespace space) space[member] = value;
        else throw Fault($"an assignment to {set.Targets[0]}.{member}", "a namespace before the dot");
    }

    private void Bind(IReadOnlyList<string> targets, object? value)
    {
        if (targets.Count == 1)
        {
            _scope.Set(targets[0], value);
            return;
        }
        if (value is not List<object?> items || items.Count != targets.Count) throw Fault(Describe(value), $"{targets.Count} values for {string.Join(", ", targets)}");
        _meter.Add(targets.Count);
        for (int i = 0; i < targets.Count; i++) _scope.Set(targets[i], items[i]);
    }

    private string Captured(IReadOnlyList<Statement> body)
    {
        StringBuilder outer = _output;
        _output = new StringBuilder();
        Execute(body);
        string text = _output.ToString();
        _output = outer;
        return text;
    }

    private string CallMacro(Statement.Macro macro, IReadOnlyList<object?> positional, IReadOnlyDictionary<string, object?> named)
    {
        Scope caller = _scope;
        Scope inner = new(_globals);
        _scope = inner;
        _meter.Add(macro.Parameters.Count);
        for (int i = 0; i < macro.Parameters.Count; i++)
        {
            (string name, Expression? otherwise) = macro.Parameters[i];
            inner.Set(name, i < positional.Count ? positional[i]
                : named.TryGetValue(name, out object? value) ? value
                : otherwise is not null ? Evaluate(otherwise) : new Undefined(name));
        }
        string text = Captured(macro.Body);
        _scope = caller;
        return text;
    }

    private void Write(string text)
    {
        if (_output.Length + text.Length > 4 * LongestText) throw Fault("more than 64 million characters of output", "a shorter chat");
        _meter.Add(text.Length >> 3);
        _output.Append(text);
    }

    /// <summary>
    /// The elements that a loop goes through: of a list, the keys of a dictionary, the characters of a string. Counts what it
    /// makes; of a list, which is there already, the caller counts what he does with it.
    /// </summary>
    private List<object?> Items(object? value)
    {
        switch (value)
        {
            case List<object?> list: return list;
            case Map map:
                _meter.Add(map.Count);
                return [.. map.Keys];
            case string text:
                _meter.Add(text.Length);
                return [.. text.EnumerateRunes().Select(rune => (object?)rune.ToString())];
            case Undefined: return [];
            default: throw Fault(Describe(value), "something with elements");
        }
    }

    /// <summary>The same for a filter that makes a list of as many elements.</summary>
    private List<object?> CountedItems(object? value)
    {
        List<object?> items = Items(value);
        _meter.Add(items.Count);
        return items;
    }

    /// <summary>The text of a value, counted.</summary>
    private string TextOf(object? value)
    {
        string text = TemplateValues.ToText(value);
        _meter.Add(text.Length >> 3);
        return text;
    }

    /// <summary>Looks a key up, which reads all of it.</summary>
    private bool TryGet(Map map, string key, out object? value)
    {
        _meter.Add(key.Length >> 3);
        return map.TryGetValue(key, out value);
    }

    /// <summary>Counts a search, whose worst case compares everything with everything.</summary>
    private void CountSearch(string text, string part) => _meter.Add((text.Length >> 3) + ((long)text.Length * part.Length >> 8));

    private static Map Fill(Map map, IReadOnlyDictionary<string, object?> members)
    {
        foreach ((string name, object? value) in members) map[name] = value;
        return map;
    }

    private List<object?> Range(IReadOnlyList<object?> arguments)
    {
        if (arguments.Count is < 1 or > 3 || arguments.Any(argument => argument is not long)) throw Fault("range of something else", "one to three integers");
        long start = arguments.Count == 1 ? 0 : (long)arguments[0]!, stop = (long)arguments[arguments.Count == 1 ? 0 : 1]!, step = arguments.Count == 3 ? (long)arguments[2]! : 1;
        if (step == 0) throw Fault("a step of 0", "another step");
        List<object?> list = [];
        for (Int128 i = start; step > 0 ? i < stop : i > stop; i += step)
        {
            if (list.Count >= LongestList) throw Fault($"a range of more than {LongestList} numbers", "a shorter one");
            list.Add((long)i);
        }
        _meter.Add(list.Count);
        return list;
    }

    private static string Describe(object? value) => value switch
    {
        Undefined undefined => $"«{undefined.Name}», which is not defined",
        null => "none",
        bool => "a truth value",
        long or double => $"the number {TemplateValues.ToText(value)}",
        string text => $"the string «{(text.Length > 40 ? text[..40] + "…" : text)}»",
        List<object?> => "a list",
        Map => "a dictionary",
        _ => "a function",
    };

    private LowbitException Fault(string found, string expected) => TemplateFault.At(_line, found, expected);
}
