using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Lowbit.Tokenizers.Chat;

/// <summary>The expressions, from the loosest binding to the tightest, in Jinja's order.</summary>
internal sealed partial class TemplateParser
{
    private Expression ExpressionOrTuple()
    {
        Expression first = Conditional();
        if (!Is(",")) return first;
        List<Expression> items = [first];
        while (Take(",") && Current.Type is not (TokenType.BlockEnd or TokenType.PrintEnd)) items.Add(Conditional());
        return new Expression.ListOf(first.Line, items);
    }

    private Expression Conditional()
    {
        CheckStack();
        Expression value = Or();
        while (Current is { Type: TokenType.Name, Value: "if", Line: int line })
        {
            _at++;
            Expression condition = Or();
            value = new Expression.Conditional(line, condition, value, TakeName("else") ? Conditional() : null);
        }
        return value;
    }

    private Expression Or()
    {
        Expression left = And();
        while (Current is { Type: TokenType.Name, Value: "or", Line: int line })
        {
            _at++;
            left = new Expression.Binary(line, "or", left, And());
        }
        return left;
    }

    private Expression And()
    {
        Expression left = Not();
        while (Current is { Type: TokenType.Name, Value: "and", Line: int line })
        {
            _at++;
            left = new Expression.Binary(line, "and", left, Not());
        }
        return left;
    }

    private Expression Not()
    {
        CheckStack();
        int line = Current.Line;
        return TakeName("not") ? new Expression.Unary(line, "not", Not()) : Comparison();
    }

    private Expression Comparison()
    {
        Expression first = Sum();
        List<(string, Expression)> rest = [];
        while (true)
        {
            if (Current is { Type: TokenType.Operator, Value: "==" or "!=" or "<" or "<=" or ">" or ">=" }) rest.Add((_tokens[_at++].Value, Sum()));
            else if (TakeName("in")) rest.Add(("in", Sum()));
            else if (IsName("not") && _tokens[_at + 1] is { Type: TokenType.Name, Value: "in" })
            {
                _at += 2;
                rest.Add(("not in", Sum()));
            }
            else return rest.Count == 0 ? first : new Expression.Compare(first.Line, first, rest);
        }
    }

    private Expression Sum()
    {
        Expression left = Concatenation();
        while (Current is { Type: TokenType.Operator, Value: "+" or "-" }) left = new Expression.Binary(Current.Line, _tokens[_at++].Value, left, Concatenation());
        return left;
    }

    private Expression Concatenation()
    {
        Expression left = Product();
        while (Is("~")) left = new Expression.Binary(Current.Line, _tokens[_at++].Value, left, Product());
        return left;
    }

    private Expression Product()
    {
        Expression left = Power();
        while (Current is { Type: TokenType.Operator, Value: "*" or "/" or "//" or "%" }) left = new Expression.Binary(Current.Line, _tokens[_at++].Value, left, Power());
        return left;
    }

    private Expression Power()
    {
        Expression left = Signed(withFilters: true);
        while (Is("**")) left = new Expression.Binary(Current.Line, _tokens[_at++].Value, left, Signed(withFilters: true));
        return left;
    }

    private Expression Signed(bool withFilters)
    {
        CheckStack();
        Expression value = Current is { Type: TokenType.Operator, Value: "-" or "+" }
            ? new Expression.Unary(Current.Line, _tokens[_at++].Value, Signed(withFilters: false))
            : Postfix(Primary());
        return withFilters ? FiltersAndTests(value) : value;
    }

    private Expression Primary()
    {
        TemplateToken token = Current;
        switch (token.Type)
        {
            case TokenType.Name:
                _at++;
                return token.Value switch
                {
                    "true" or "True" => new Expression.Constant(token.Line, true),
                    "false" or "False" => new Expression.Constant(token.Line, false),
                    "none" or "None" => new Expression.Constant(token.Line, null),
                    _ => new Expression.Variable(token.Line, token.Value),
                };
            case TokenType.Text:
                StringBuilder text = new();
                while (Current.Type == TokenType.Text) text.Append(_tokens[_at++].Value); // neighbours are one string
                return new Expression.Constant(token.Line, text.ToString());
            case TokenType.Integer:
                _at++;
                return long.TryParse(token.Value, CultureInfo.InvariantCulture, out long integer)
                    ? new Expression.Constant(token.Line, integer) : throw TemplateFault.At(token.Line, token.ToString(), "a number of at most 64 bits");
            case TokenType.Real:
                _at++;
                return new Expression.Constant(token.Line, double.Parse(token.Value, CultureInfo.InvariantCulture));
            case TokenType.Operator when token.Value == "(":
                _at++;
                if (Take(")")) return new Expression.ListOf(token.Line, []);
                Expression inner = Conditional();
                if (!Is(","))
                {
                    Expect(")");
                    return inner;
                }
                List<Expression> tuple = [inner];
                while (Take(",") && !Is(")")) tuple.Add(Conditional());
                Expect(")");
                return new Expression.ListOf(token.Line, tuple);
            case TokenType.Operator when token.Value == "[":
                _at++;
                List<Expression> items = [];
                while (!Take("]"))
                {
                    items.Add(Conditional());
                    if (!Take(",") && !Is("]")) throw Bad("]");
                }
                return new Expression.ListOf(token.Line, items);
            case TokenType.Operator when token.Value == "{":
                _at++;
                List<(Expression, Expression)> members = [];
                while (!Take("}"))
                {
                    Expression key = Conditional();
                    Expect(":");
                    members.Add((key, Conditional()));
                    if (!Take(",") && !Is("}")) throw Bad("}");
                }
                return new Expression.MapOf(token.Line, members);
            default:
                throw Bad("an expression");
        }
    }

    private Expression Postfix(Expression value)
    {
        while (Current.Type == TokenType.Operator)
        {
            int line = Current.Line;
            if (Take("."))
            {
                value = Current.Type == TokenType.Integer
                    ? new Expression.Item(line, value, Primary())
                    : new Expression.Member(line, value, Name());
            }
            else if (Take("["))
            {
                value = Subscript(value, line);
            }
            else if (Take("("))
            {
                (List<Expression> positional, List<(string, Expression)> named) = Arguments();
                value = new Expression.Call(line, value, positional, named);
            }
            else
            {
                break;
            }
        }
        return value;
    }

    private Expression Subscript(Expression value, int line)
    {
        Expression? start = Is(":") ? null : Conditional(), stop = null, step = null;
        if (Take("]")) return new Expression.Item(line, value, start!);
        Expect(":");
        if (!Is("]") && !Is(":")) stop = Conditional();
        if (Take(":") && !Is("]")) step = Conditional();
        Expect("]");
        return new Expression.Slice(line, value, start, stop, step);
    }

    private (List<Expression>, List<(string, Expression)>) Arguments()
    {
        List<Expression> positional = [];
        List<(string, Expression)> named = [];
        while (!Take(")"))
        {
            if (Current.Type == TokenType.Name && _tokens[_at + 1] is { Type: TokenType.Operator, Value: "=" })
            {
                string name = Name();
                _at++;
                named.Add((name, Conditional()));
            }
            else
            {
                positional.Add(Conditional());
            }
            if (!Take(",") && !Is(")")) throw Bad(")");
        }
        return (positional, named);
    }

    private Expression FiltersAndTests(Expression value)
    {
        while (true)
        {
            int line = Current.Line;
            if (Take("|"))
            {
                string name = Name();
                (List<Expression> positional, List<(string, Expression)> named) = Take("(") ? Arguments() : ([], []);
                value = new Expression.Filter(line, value, name, positional, named);
            }
            else if (TakeName("is"))
            {
                bool negated = TakeName("not");
                string name = Name();
                List<Expression> arguments = [];
                if (Take("(")) (arguments, _) = Arguments();
                else if (BeginsArgument()) arguments.Add(Postfix(Primary()));
                value = new Expression.Test(line, value, name, arguments, negated);
            }
            else if (Is("("))
            {
                value = Postfix(value);
            }
            else
            {
                return value;
            }
        }
    }

    private bool BeginsArgument() => Current.Type switch
    {
        TokenType.Name => Current.Value is not ("else" or "or" or "and" or "is" or "if" or "not" or "in"),
        TokenType.Text or TokenType.Integer or TokenType.Real => true,
        _ => Is("[") || Is("{"),
    };
}
