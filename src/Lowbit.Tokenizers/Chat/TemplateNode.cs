using System.Collections.Generic;

namespace Lowbit.Tokenizers.Chat;

/// <summary>The syntax tree of a template: statements write, expressions have a value.</summary>
internal abstract record TemplateNode(int Line);

internal abstract record Statement(int Line) : TemplateNode(Line)
{
    public sealed record Data(int Line, string Text) : Statement(Line);

    public sealed record Print(int Line, Expression Value) : Statement(Line);

    public sealed record If(int Line, IReadOnlyList<(Expression Condition, IReadOnlyList<Statement> Body)> Branches, IReadOnlyList<Statement> Otherwise) : Statement(Line);

    public sealed record For(int Line, IReadOnlyList<string> Targets, Expression Items, Expression? Filter, IReadOnlyList<Statement> Body, IReadOnlyList<Statement> Otherwise) : Statement(Line);

    /// <summary>Assigns to names, or to one member of a namespace.</summary>
    public sealed record Set(int Line, IReadOnlyList<string> Targets, string? Member, Expression Value) : Statement(Line);

    /// <summary>Assigns the text that the body writes.</summary>
    public sealed record SetBlock(int Line, string Target, IReadOnlyList<Statement> Body) : Statement(Line);

    public sealed record Macro(int Line, string Name, IReadOnlyList<(string Name, Expression? Default)> Parameters, IReadOnlyList<Statement> Body) : Statement(Line);

    public sealed record Break(int Line) : Statement(Line);

    public sealed record Continue(int Line) : Statement(Line);
}

internal abstract record Expression(int Line) : TemplateNode(Line)
{
    public sealed record Constant(int Line, object? Value) : Expression(Line);

    public sealed record Variable(int Line, string Name) : Expression(Line);

    public sealed record ListOf(int Line, IReadOnlyList<Expression> Items) : Expression(Line);

    public sealed record MapOf(int Line, IReadOnlyList<(Expression Key, Expression Value)> Items) : Expression(Line);

    public sealed record Member(int Line, Expression Target, string Name) : Expression(Line);

    public sealed record Item(int Line, Expression Target, Expression Index) : Expression(Line);

    public sealed record Slice(int Line, Expression Target, Expression? Start, Expression? Stop, Expression? Step) : Expression(Line);

    public sealed record Call(int Line, Expression Target, IReadOnlyList<Expression> Positional, IReadOnlyList<(string Name, Expression Value)> Named) : Expression(Line);

    public sealed record Filter(int Line, Expression Target, string Name, IReadOnlyList<Expression> Positional, IReadOnlyList<(string Name, Expression Value)> Named) : Expression(Line);

    public sealed record Test(int Line, Expression Target, string Name, IReadOnlyList<Expression> Arguments, bool Negated) : Expression(Line);

    public sealed record Unary(int Line, string Operator, Expression Target) : Expression(Line);

    public sealed record Binary(int Line, string Operator, Expression Left, Expression Right) : Expression(Line);

    /// <summary>a &lt; b &lt; c: every neighbouring pair must hold.</summary>
    public sealed record Compare(int Line, Expression First, IReadOnlyList<(string Operator, Expression Value)> Rest) : Expression(Line);

    public sealed record Conditional(int Line, Expression Condition, Expression Value, Expression? Otherwise) : Expression(Line);
}
