using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Text;

namespace Lowbit.Tokenizers.Chat;

/// <summary>Runs a template: the expressions.</summary>
internal sealed partial class TemplateInterpreter
{
    private object? Evaluate(Expression expression)
    {
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack()) throw Fault("too deep nesting", "a simpler template");
        _line = expression.Line;
        _meter.Add(1);
        return expression switch
        {
            Expression.Constant constant => constant.Value,
            Expression.Variable variable => _scope.TryGet(variable.Name, out object? value) ? value : new Undefined(variable.Name),
            Expression.ListOf list => list.Items.Select(Evaluate).ToList(),
            Expression.MapOf map => MapOf(map),
            Expression.Member member => MemberOf(Evaluate(member.Target), member.Name),
            Expression.Item item => ItemOf(Evaluate(item.Target), Evaluate(item.Index)),
            Expression.Slice slice => SliceOf(slice),
            Expression.Call call => Call(call),
            Expression.Filter filter => ApplyFilter(filter.Name, Evaluate(filter.Target), Values(filter.Positional), Values(filter.Named)),
            Expression.Test test => ApplyTest(test.Name, Evaluate(test.Target), Values(test.Arguments)) != test.Negated,
            Expression.Unary unary => Unary(unary.Operator, Evaluate(unary.Target)),
            Expression.Binary { Operator: "and" } binary => Evaluate(binary.Left) is var left && TemplateValues.IsTrue(left) ? Evaluate(binary.Right) : left,
            Expression.Binary { Operator: "or" } binary => Evaluate(binary.Left) is var left && TemplateValues.IsTrue(left) ? left : Evaluate(binary.Right),
            Expression.Binary binary => Binary(binary.Operator, Evaluate(binary.Left), Evaluate(binary.Right)),
            Expression.Compare compare => Compare(compare),
            Expression.Conditional conditional => TemplateValues.IsTrue(Evaluate(conditional.Condition)) ? Evaluate(conditional.Value)
                : conditional.Otherwise is null ? new Undefined("else") : Evaluate(conditional.Otherwise),
            _ => throw Fault("an expression", "another one"),
        };
    }

    private List<object?> Values(IReadOnlyList<Expression> expressions) => [.. expressions.Select(Evaluate)];

    private Map Values(IReadOnlyList<(string Name, Expression Value)> expressions)
    {
        Map values = [];
        foreach ((string name, Expression value) in expressions) values[name] = Evaluate(value);
        return values;
    }

    private Map MapOf(Expression.MapOf expression)
    {
        Map map = [];
        foreach ((Expression key, Expression value) in expression.Items)
        {
            string name = Evaluate(key) as string ?? throw Fault("a key that is no string", "a string");
            _meter.Add(name.Length >> 3);
            map[name] = Evaluate(value);
        }
        return map;
    }

    private object? MemberOf(object? target, string name) => target switch
    {
        Map map => TryGet(map, name, out object? value) ? value : new Undefined(name),
        Undefined => throw Fault($"{Describe(target)}, before .{name}", "something that is defined"),
        _ => new Undefined(name),
    };

    private object? ItemOf(object? target, object? index)
    {
        switch (target, index)
        {
            case (Map map, string key): return TryGet(map, key, out object? value) ? value : new Undefined(key);
            case (List<object?> list, long at):
                if (at < 0) at += list.Count;
                return at >= 0 && at < list.Count ? list[(int)at] : new Undefined($"element {index}");
            case (string text, long at):
                if (at < 0) at += text.Length;
                return at >= 0 && at < text.Length ? text[(int)at].ToString() : new Undefined($"character {index}");
            case (Undefined, _): throw Fault($"{Describe(target)}, before a bracket", "something that is defined");
            default: return new Undefined(TextOf(index));
        }
    }

    private object? SliceOf(Expression.Slice slice)
    {
        object? target = Evaluate(slice.Target);
        long? start = Bound(slice.Start), stop = Bound(slice.Stop), step = Bound(slice.Step);
        int length = target switch { List<object?> list => list.Count, string text => text.Length, _ => throw Fault(Describe(target), "a list or a string before a slice") };
        long stride = step ?? 1;
        if (stride == 0) throw Fault("a slice with a step of 0", "another step");
        // Python's rules: bounds count from the end when negative and are clamped to what a step in this direction can reach.
        long low = stride > 0 ? 0 : -1, high = stride > 0 ? length : length - 1;
        long from = start is long first ? Math.Clamp(first < 0 ? first + length : first, low, high) : stride > 0 ? low : high;
        long to = stop is long last ? Math.Clamp(last < 0 ? last + length : last, low, high) : stride > 0 ? high : low;
        List<object?> items = [];
        StringBuilder letters = new();
        for (Int128 i = from; stride > 0 ? i < to : i > to; i += stride)
        {
            if (target is string text) letters.Append(text[(int)i]);
            else items.Add(((List<object?>)target!)[(int)i]);
        }
        _meter.Add(items.Count + (letters.Length >> 3));
        return target is string ? letters.ToString() : items;

        long? Bound(Expression? expression) => expression is null ? null : Evaluate(expression) switch
        {
            null => null,
            long bound => bound,
            var other => throw Fault(Describe(other), "an integer in a slice"),
        };
    }

    private object? Call(Expression.Call call)
    {
        if (call.Target is Expression.Member member)
        {
            object? target = Evaluate(member.Target);
            List<object?> arguments = Values(call.Positional);
            Map named = Values(call.Named);
            _line = call.Line;
            if (target is Map map && map.TryGetValue(member.Name, out object? value) && value is Function method) return method(arguments, named);
            return CallMethod(target, member.Name, arguments, named);
        }
        object? callee = Evaluate(call.Target);
        if (callee is not Function function) throw Fault(Describe(callee), "a function before (");
        List<object?> positional = Values(call.Positional);
        Map byName = Values(call.Named);
        _line = call.Line;
        return function(positional, byName);
    }

    private object? Unary(string operation, object? value) => (operation, value) switch
    {
        ("not", _) => !TemplateValues.IsTrue(value),
        ("-", long number) => unchecked(-number),
        ("-", double number) => -number,
        ("+", long or double) => value,
        _ => throw Fault($"{operation} before {Describe(value)}", "a number"),
    };

    private object? Binary(string operation, object? left, object? right)
    {
        switch (operation, left, right)
        {
            case ("~", _, _): return Joined(TemplateValues.ToText(left), TemplateValues.ToText(right));
            case ("+", string a, string b): return Joined(a, b);
            case ("+", List<object?> a, List<object?> b):
                if (a.Count + b.Count > LongestList) throw Fault($"a list of more than {LongestList} elements", "a shorter one");
                _meter.Add(a.Count + b.Count);
                return a.Concat(b).ToList();
            case ("*", string text, long count): return Repeated(text, count);
            case ("*", long count, string text): return Repeated(text, count);
        }
        if (!TemplateValues.IsNumber(left) || !TemplateValues.IsNumber(right))
            throw Fault($"{Describe(left)} {operation} {Describe(right)}", "operands that fit together");
        if (left is double || right is double || operation == "/" || (operation == "**" && TemplateValues.ToDouble(right) < 0))
            return Reals(operation, TemplateValues.ToDouble(left), TemplateValues.ToDouble(right));
        return Integers(operation, TemplateValues.ToInteger(left), TemplateValues.ToInteger(right));
    }

    private string Joined(string left, string right)
    {
        if (left.Length + (long)right.Length > LongestText) throw Fault($"a string of more than {LongestText} characters", "a shorter one");
        _meter.Add((left.Length + right.Length) >> 3);
        return left + right;
    }

    private string Repeated(string text, long count)
    {
        if (count <= 0 || text.Length == 0) return "";
        if (count > LongestText / text.Length) throw Fault($"a string of more than {LongestText} characters", "a shorter one");
        _meter.Add(text.Length * count >> 3);
        return new StringBuilder().Insert(0, text, (int)count).ToString();
    }

    private long Integers(string operation, long left, long right)
    {
        if (right == 0 && operation is "//" or "%") throw Fault("a division by 0", "another divisor");
        Int128 result = operation switch
        {
            "+" => (Int128)left + right,
            "-" => (Int128)left - right,
            "*" => (Int128)left * right,
            "//" => FloorDivide(left, right),
            "%" => left - FloorDivide(left, right) * right,
            "**" => Power(left, right),
            _ => throw Fault(operation, "another operator"),
        };
        if (result < long.MinValue || result > long.MaxValue) throw Fault("an integer of more than 64 bits", "a smaller one");
        return (long)result;
    }

    // Python rounds towards minus infinity.
    private static Int128 FloorDivide(Int128 left, Int128 right)
    {
        Int128 quotient = left / right;
        return left % right != 0 && left < 0 != right < 0 ? quotient - 1 : quotient;
    }

    private Int128 Power(long left, long right)
    {
        double estimate = Math.Pow(left, right);
        if (Math.Abs(estimate) > long.MaxValue) throw Fault("an integer of more than 64 bits", "a smaller one");
        if (left is 0 or 1 or -1) return (Int128)estimate;
        Int128 result = 1;
        for (long i = 0; i < right; i++) result *= left;
        return result;
    }

    private double Reals(string operation, double left, double right)
    {
        if (right == 0 && operation is "/" or "//" or "%") throw Fault("a division by 0", "another divisor");
        return operation switch
        {
            "+" => left + right,
            "-" => left - right,
            "*" => left * right,
            "/" => left / right,
            "//" => Math.Floor(left / right),
            "%" => left - Math.Floor(left / right) * right,
            "**" => Math.Pow(left, right),
            _ => throw Fault(operation, "another operator"),
        };
    }

    private bool Compare(Expression.Compare compare)
    {
        object? left = Evaluate(compare.First);
        foreach ((string operation, Expression expression) in compare.Rest)
        {
            object? right = Evaluate(expression);
            if (!Holds(left, operation, right)) return false;
            left = right;
        }
        return true;
    }

    private bool Holds(object? left, string operation, object? right)
    {
        switch (operation)
        {
            case "==": return TemplateValues.AreEqual(left, right, _meter);
            case "!=": return !TemplateValues.AreEqual(left, right, _meter);
            case "in": return Contains(right, left);
            case "not in": return !Contains(right, left);
        }
        int order;
        if (TemplateValues.IsNumber(left) && TemplateValues.IsNumber(right)) order = TemplateValues.ToDouble(left).CompareTo(TemplateValues.ToDouble(right));
        else if (left is string a && right is string b)
        {
            _meter.Add(Math.Min(a.Length, b.Length) >> 3);
            order = string.CompareOrdinal(a, b);
        }
        else throw Fault($"{Describe(left)} {operation} {Describe(right)}", "two numbers or two strings");
        return operation switch { "<" => order < 0, "<=" => order <= 0, ">" => order > 0, _ => order >= 0 };
    }

    private bool Contains(object? container, object? item)
    {
        switch (container, item)
        {
            case (string text, string part):
                CountSearch(text, part);
                return text.Contains(part, StringComparison.Ordinal);
            case (Map map, _): return item is string key && TryGet(map, key, out _);
            case (List<object?> list, _):
                _meter.Add(list.Count);
                return list.Any(element => TemplateValues.AreEqual(element, item, _meter));
            case (Undefined, _): return false;
            default: throw Fault($"in {Describe(container)}", "a list, a dictionary or a string");
        }
    }
}
