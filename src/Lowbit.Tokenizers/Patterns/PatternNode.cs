using System.Collections.Generic;

namespace Lowbit.Tokenizers.Patterns;

/// <summary>How a repetition looks for its count.</summary>
internal enum Greed
{
    /// <summary>As many as possible, fewer when the rest fails.</summary>
    Greedy,
    /// <summary>As few as possible, more when the rest fails.</summary>
    Lazy,
    /// <summary>As many as possible, and nothing else.</summary>
    Possessive,
}

/// <summary>A place in the text that a pattern asks for without consuming anything.</summary>
internal enum Anchor
{
    /// <summary><c>^</c>: the beginning of the text or of a line, as Oniguruma has it.</summary>
    LineStart,
    /// <summary><c>$</c>: the end of the text or of a line.</summary>
    LineEnd,
    /// <summary><c>\A</c>.</summary>
    TextStart,
    /// <summary><c>\z</c>.</summary>
    TextEnd,
    /// <summary><c>\b</c>.</summary>
    WordBoundary,
    /// <summary><c>\B</c>.</summary>
    NoWordBoundary,
}

/// <summary>The parts that a pattern is made of, as the parser finds them.</summary>
internal abstract record PatternNode
{
    public sealed record OneOf(RuneClass Set) : PatternNode;

    public sealed record Sequence(IReadOnlyList<PatternNode> Parts) : PatternNode;

    public sealed record Either(IReadOnlyList<PatternNode> Choices) : PatternNode;

    public sealed record Repeat(PatternNode Body, int Minimum, int Maximum, Greed Greed) : PatternNode;

    public sealed record Look(PatternNode Body, bool Ahead, bool Negative) : PatternNode;

    public sealed record Atomic(PatternNode Body) : PatternNode;

    public sealed record At(Anchor Anchor) : PatternNode;
}
