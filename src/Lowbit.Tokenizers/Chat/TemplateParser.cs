using System.Collections.Generic;
using System.Runtime.CompilerServices;
using Lowbit.Core;

namespace Lowbit.Tokenizers.Chat;

/// <summary>Builds the syntax tree of a template: the statements.</summary>
internal sealed partial class TemplateParser
{
    private readonly List<TemplateToken> _tokens;
    private int _at;

    private TemplateParser(List<TemplateToken> tokens) => _tokens = tokens;

    private TemplateToken Current => _tokens[_at];

    /// <summary>Parses a whole template.</summary>
    /// <exception cref="LowbitException">The template is not understood.</exception>
    public static IReadOnlyList<Statement> Parse(string template)
    {
        TemplateParser parser = new(TemplateLexer.Cut(template));
        List<Statement> body = parser.Body();
        if (parser.Current.Type != TokenType.End) throw parser.Bad("a statement");
        return body;
    }

    /// <summary>Statements up to one of the words, or the end; the block of the word is left open behind its name.</summary>
    private List<Statement> Body(params string[] ends)
    {
        CheckStack();
        List<Statement> body = [];
        while (true)
        {
            TemplateToken token = Current;
            switch (token.Type)
            {
                case TokenType.Data:
                    _at++;
                    body.Add(new Statement.Data(token.Line, token.Value));
                    break;
                case TokenType.PrintBegin:
                    _at++;
                    body.Add(new Statement.Print(token.Line, ExpressionOrTuple()));
                    Expect(TokenType.PrintEnd, "}}");
                    break;
                case TokenType.BlockBegin:
                    _at++;
                    if (Current.Type == TokenType.Name && System.Array.IndexOf(ends, Current.Value) >= 0) return body;
                    body.AddRange(Block());
                    break;
                default:
                    if (token.Type != TokenType.End || ends.Length > 0) throw Bad(ends.Length > 0 ? $"{{% {ends[^1]} %}}" : "text");
                    return body;
            }
        }
    }

    private List<Statement> Block()
    {
        int line = Current.Line;
        string word = Name();
        switch (word)
        {
            case "if": return [IfBlock(line)];
            case "for": return [ForBlock(line)];
            case "set": return [SetBlock(line)];
            case "macro": return [MacroBlock(line)];
            case "break":
                EndBlock();
                return [new Statement.Break(line)];
            case "continue":
                EndBlock();
                return [new Statement.Continue(line)];
            case "generation": // marks what the assistant says, for training
                EndBlock();
                List<Statement> body = Body("endgeneration");
                _at++;
                EndBlock();
                return body;
            default:
                throw TemplateFault.At(line, $"{{% {word} %}}", "if, for, set, macro, break, continue or generation");
        }
    }

    private Statement.If IfBlock(int line)
    {
        List<(Expression, IReadOnlyList<Statement>)> branches = [];
        IReadOnlyList<Statement> otherwise = [];
        string word = "if";
        while (word is "if" or "elif")
        {
            Expression condition = ExpressionOrTuple();
            EndBlock();
            branches.Add((condition, Body("elif", "else", "endif")));
            word = Name();
        }
        if (word == "else")
        {
            EndBlock();
            otherwise = Body("endif");
            _at++;
        }
        EndBlock();
        return new Statement.If(line, branches, otherwise);
    }

    private Statement.For ForBlock(int line)
    {
        List<string> targets = Targets();
        if (!TakeName("in")) throw Bad("in");
        Expression items = Or(); // a condition behind belongs to the loop
        Expression? filter = TakeName("if") ? Conditional() : null;
        EndBlock();
        List<Statement> body = Body("else", "endfor");
        IReadOnlyList<Statement> otherwise = [];
        if (Name() == "else")
        {
            EndBlock();
            otherwise = Body("endfor");
            _at++;
        }
        EndBlock();
        return new Statement.For(line, targets, items, filter, body, otherwise);
    }

    private Statement SetBlock(int line)
    {
        List<string> targets = Targets();
        string? member = targets.Count == 1 && Take(".") ? Name() : null;
        if (Take("="))
        {
            Expression value = ExpressionOrTuple();
            EndBlock();
            return new Statement.Set(line, targets, member, value);
        }
        if (targets.Count != 1 || member is not null) throw Bad("=");
        EndBlock();
        List<Statement> body = Body("endset");
        _at++;
        EndBlock();
        return new Statement.SetBlock(line, targets[0], body);
    }

    private Statement.Macro MacroBlock(int line)
    {
        string name = Name();
        List<(string, Expression?)> parameters = [];
        Expect("(");
        while (!Take(")"))
        {
            string parameter = Name();
            parameters.Add((parameter, Take("=") ? Conditional() : null));
            if (!Take(",") && !Is(")")) throw Bad(")");
        }
        EndBlock();
        List<Statement> body = Body("endmacro");
        _at++;
        if (Current.Type == TokenType.Name) _at++; // the name may be repeated
        EndBlock();
        return new Statement.Macro(line, name, parameters, body);
    }

    private List<string> Targets()
    {
        bool bracket = Take("(");
        List<string> targets = [Name()];
        while (Take(",")) targets.Add(Name());
        if (bracket) Expect(")");
        return targets;
    }

    private void EndBlock() => Expect(TokenType.BlockEnd, "%}");

    private string Name()
    {
        if (Current.Type != TokenType.Name) throw Bad("a name");
        return _tokens[_at++].Value;
    }

    private bool Is(string symbol) => Current.Type == TokenType.Operator && Current.Value == symbol;

    private bool IsName(string word) => Current.Type == TokenType.Name && Current.Value == word;

    private bool Take(string symbol)
    {
        if (!Is(symbol)) return false;
        _at++;
        return true;
    }

    private bool TakeName(string word)
    {
        if (!IsName(word)) return false;
        _at++;
        return true;
    }

    private void Expect(string symbol)
    {
        if (!Take(symbol)) throw Bad(symbol);
    }

    private void Expect(TokenType type, string name)
    {
        if (Current.Type != type) throw Bad(name);
        _at++;
    }

    private void CheckStack()
    {
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack()) throw TemplateFault.At(Current.Line, "too deep nesting", "a simpler template");
    }

    private LowbitException Bad(string expected) => TemplateFault.At(Current.Line, Current.ToString(), expected);
}
